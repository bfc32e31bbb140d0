// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vm_rom.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/shared_file.hpp"
#include "base/units.hpp"
#include "cli/selector.hpp"
#include "vfio/device.hpp"

namespace pcivm::cli {

namespace {

// The kernel and firmware look at 512 bytes at least (PCI 3.0, 6.3.1).
constexpr std::uint64_t kSmallest = 512;
constexpr std::array kSignature{std::byte{0x55}, std::byte{0xaa}};

Result<std::vector<std::byte>> read_image(const std::string& path) {
  const auto file = TRY(open_regular(path, O_RDONLY));
  const auto size = TRY(file_size(file.ref()));
  if (size < kSmallest || size > vfio::kLargestRom) {
    return fail(Errc::invalid,
                fmt::format("'{}' has {} bytes, an option ROM {} to {}", path, size, kSmallest, vfio::kLargestRom));
  }
  std::vector<std::byte> image(size);
  TRY_IN(pread_exact(file.ref(), 0, image), path);
  if (std::ranges::equal(std::span{image}.first(kSignature.size()), kSignature)) return image;
  return fail(Errc::invalid, fmt::format("'{}' starts with {:02x} {:02x}, an option ROM with 55 aa", path,
                                         std::to_integer<unsigned>(image[0]), std::to_integer<unsigned>(image[1])));
}

Result<RomWish> read_rom(const SysRoot& root, const std::string& text, std::span<const Bdf> functions) {
  const auto sign = text.find('=');
  if (sign == std::string::npos || sign + 1 == text.size()) {
    return fail(Errc::invalid, fmt::format("'{}' found, DEVICE=device or DEVICE=FILE wanted", text));
  }
  RomWish wish{.function = TRY(select_function(root, text.substr(0, sign))), .image = {}};
  if (std::ranges::find(functions, wish.function) == functions.end()) {
    return fail(Error::make(Errc::invalid, fmt::format("{} is none of the VM's devices", wish.function.to_string()))
                    .advise(fmt::format("--device {} too", wish.function.to_string())));
  }
  const auto source = text.substr(sign + 1);
  if (source != "device") wish.image = TRY(read_image(source));
  return wish;
}

}  // namespace

Result<std::vector<RomWish>> read_roms(const SysRoot& root, std::span<const std::string> texts,
                                       std::span<const Bdf> functions) {
  std::vector<RomWish> wishes;
  for (const auto& text : texts) {
    auto wish = TRY_IN(read_rom(root, text, functions), "--rom");
    if (std::ranges::find(wishes, wish.function, &RomWish::function) != wishes.end()) {
      return fail(Errc::invalid, fmt::format("--rom for {} is given twice", wish.function.to_string()));
    }
    wishes.push_back(std::move(wish));
  }
  return wishes;
}

}  // namespace pcivm::cli
