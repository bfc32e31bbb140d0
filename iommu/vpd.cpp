// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/vpd.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include "iommu/function.hpp"

namespace pcivm::iommu {

namespace {

// A card is asked for so much at a time, until its end tag has come: most have a few hundred bytes, and each four of
// them may take a millisecond.
constexpr std::size_t kPiece = 256;
constexpr std::size_t kMostBytes = 8'192;
static_assert(kMostBytes < CallChild::kMost);
constexpr std::size_t kMostFields = 256;

// Tags: PCI 3.0, I.1.
constexpr std::uint8_t kProductName = 0x82;
constexpr std::uint8_t kReadOnly = 0x90;
constexpr std::uint8_t kReadWrite = 0x91;
constexpr std::uint8_t kLargeBit = 0x80;
constexpr std::uint8_t kEndName = 0x0f;

using Bytes = std::span<const std::byte>;

std::uint8_t at(Bytes bytes, std::size_t offset) { return std::to_integer<std::uint8_t>(bytes[offset]); }

/// One resource: a tag, and where its data stand.
struct Resource {
  std::uint8_t tag{};
  std::size_t start{};
  std::size_t length{};
  [[nodiscard]] bool is_end() const { return (tag & kLargeBit) == 0 && (tag >> 3U & 0x0fU) == kEndName; }
};

/// Nothing when the header is not wholly there.
std::optional<Resource> resource_at(Bytes image, std::size_t offset) {
  if (offset >= image.size()) return std::nullopt;
  const auto tag = at(image, offset);
  if ((tag & kLargeBit) == 0) return Resource{.tag = tag, .start = offset + 1, .length = tag & 7U};
  if (offset + 3 > image.size()) return std::nullopt;
  const auto length = static_cast<std::size_t>(at(image, offset + 1) | at(image, offset + 2) << 8U);
  return Resource{.tag = tag, .start = offset + 3, .length = length};
}

/// The end tag is in there, or nothing sensible can follow.
bool is_whole(Bytes image) {
  if (!image.empty() && (at(image, 0) == 0x00 || at(image, 0) == 0xff)) return true;
  for (std::size_t offset = 0;;) {
    const auto resource = resource_at(image, offset);
    if (!resource) return false;
    if (resource->is_end()) return true;
    offset = resource->start + resource->length;
  }
}

std::string text_of(Bytes bytes) {
  std::string text;
  for (const auto byte : bytes) {
    const auto code = std::to_integer<unsigned char>(byte);
    if (code == 0) break;
    text += code >= 0x20 && code < 0x7f ? std::string{static_cast<char>(code)} : fmt::format("\\x{:02x}", code);
  }
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

/// The checksum byte makes all bytes from the first one up to itself add up to zero.
bool adds_up(Bytes image, std::size_t checksum) {
  const auto sum = std::accumulate(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(checksum) + 1, 0U,
                                   [](unsigned all, std::byte byte) { return all + std::to_integer<unsigned>(byte); });
  return (sum & 0xffU) == 0;
}

void add_field(Vpd& vpd, std::string keyword, Bytes value) {
  // CP points to a capability, RW is what is left to write.
  if (keyword == "CP" || keyword == "RW") return;
  auto text = text_of(value);
  if (keyword == "PN") {
    vpd.part_number = std::move(text);
  } else if (keyword == "SN") {
    vpd.serial = std::move(text);
  } else if (vpd.fields.size() < kMostFields) {
    vpd.fields.push_back({.keyword = std::move(keyword), .value = std::move(text)});
  }
}

/// Keyword, length and value of each field. Empty on success, else what is wrong.
std::string parse_fields(Vpd& vpd, Bytes image, const Resource& resource) {
  constexpr std::size_t kHeader = 3;
  const auto end = resource.start + resource.length;
  for (auto offset = resource.start; offset < end;) {
    if (offset + kHeader > end) return fmt::format("a field at byte {} is cut short", offset);
    auto keyword = text_of(image.subspan(offset, 2));
    const auto start = offset + kHeader;
    const std::size_t length = at(image, offset + 2);
    if (start + length > end) return fmt::format("field {} at byte {} is longer than its part", keyword, offset);
    if (keyword == "RV") {
      if (length != 0) vpd.checksum_ok = adds_up(image, start);
    } else {
      add_field(vpd, std::move(keyword), image.subspan(start, length));
    }
    offset = start + length;
  }
  return {};
}

std::string parse_resource(Vpd& vpd, Bytes image, const Resource& resource) {
  if (resource.start + resource.length > image.size()) {
    return fmt::format("it ends within the part of tag {:#04x}", resource.tag);
  }
  if (resource.tag == kProductName) vpd.product = text_of(image.subspan(resource.start, resource.length));
  if (resource.tag == kReadOnly || resource.tag == kReadWrite) return parse_fields(vpd, image, resource);
  return {};
}

/// What the card has as far as it makes sense; "" for an unreadable one, which is what a missing one gives too.
std::string read_image(const SysRoot& root, const std::string& path) {
  std::string image;
  const auto file = root.open_file(path, O_RDONLY);
  while (file && image.size() < kMostBytes) {
    const auto before = image.size();
    image.resize(before + kPiece);
    const auto count = read_some(file->ref(), std::as_writable_bytes(std::span{image}.subspan(before)));
    image.resize(before + count.value_or(0));
    if (image.size() == before || is_whole(std::as_bytes(std::span{image}))) break;
  }
  return image;
}

}  // namespace

Vpd parse_vpd(Bytes image) {
  Vpd vpd;
  if (image.empty() || at(image, 0) == 0x00 || at(image, 0) == 0xff) {
    vpd.problem = "it is blank";
    return vpd;
  }
  for (std::size_t offset = 0; vpd.problem.empty();) {
    const auto resource = resource_at(image, offset);
    if (!resource) {
      vpd.problem = "it has no end tag";
    } else if (resource->is_end()) {
      break;
    } else {
      vpd.problem = parse_resource(vpd, image, *resource);
      offset = resource->start + resource->length;
    }
  }
  return vpd;
}

Result<std::optional<Vpd>> VpdReader::read(const SysRoot& root, Bdf address, std::chrono::milliseconds deadline) {
  const auto path = Function{.address = address}.directory() + "/vpd";
  if (!root.exists(path)) return std::nullopt;
  std::string image;
  if (root.live()) {
    if (!child_ || !child_->usable()) {
      child_.reset();
      child_.emplace(
          TRY(CallChild::start([&root](std::string_view asked) { return read_image(root, std::string{asked}); })));
    }
    image = TRY_IN(child_->ask(path, deadline), fmt::format("read '{}'", path));
  } else {
    image = read_image(root, path);  // files that do not block
  }
  if (image.empty()) return std::nullopt;
  return parse_vpd(std::as_bytes(std::span{image}));
}

}  // namespace pcivm::iommu
