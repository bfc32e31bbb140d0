// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/vfat_image.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <span>

#include <fmt/format.h>

#include "base/text.hpp"

namespace pcivm::cli {

namespace {

constexpr std::size_t kSector = 512;
constexpr std::size_t kCluster = 8 * kSector;
constexpr std::size_t kMostClusters = 4084;  // with more it would be FAT16
constexpr std::size_t kFirstCluster = 2;
constexpr std::size_t kEntry = 32;
constexpr std::size_t kRootEntries = 64;
constexpr std::size_t kMostFiles = 16;
constexpr std::size_t kLongPart = 13;  // characters of a long name in one entry
constexpr std::size_t kLongest = 2 * kLongPart;
constexpr std::size_t kShort = 11;
constexpr std::uint32_t kEndOfChain = 0xfff;
constexpr std::uint8_t kMedia = 0xf8;
constexpr std::uint8_t kReadOnly = 0x01;
constexpr std::uint8_t kLabel = 0x08;
constexpr std::uint8_t kLongName = 0x0f;
constexpr std::uint8_t kLastPart = 0x40;
constexpr std::uint32_t kFirstDay = 0x21;  // 1980-01-01

std::size_t pieces(std::size_t length, std::size_t size) { return (length + size - 1) / size; }

struct Layout {
  std::size_t clusters;
  std::size_t table;  // sectors of one of the two
  [[nodiscard]] std::size_t root() const { return kSector * (1 + 2 * table); }
  [[nodiscard]] std::size_t data() const { return root() + kRootEntries * kEntry; }
  [[nodiscard]] std::size_t size() const { return data() + clusters * kCluster; }
};

class Writer final {
 public:
  Writer(Layout layout, std::string_view label) : layout_{layout}, bytes_(layout.size()) {
    boot_sector(label);
    number(root(), 0, 0);
    text(root(), padded(label, kShort));
    bytes_[root() + kShort] = std::byte{kLabel};
    number(root() + 24, kFirstDay, 2);
    ++entries_;
    link(0, 0xf00U | kMedia);
    link(1, kEndOfChain);
  }

  void add(const std::string& name, const std::string& content) {
    const auto alias = short_name(name);
    long_name(name, alias);
    const auto at = next_entry();
    text(at, alias);
    bytes_[at + kShort] = std::byte{kReadOnly};
    number(at + 16, kFirstDay, 2);
    number(at + 18, kFirstDay, 2);
    number(at + 24, kFirstDay, 2);
    number(at + 26, content.empty() ? 0 : static_cast<std::uint32_t>(cluster_), 2);
    number(at + 28, static_cast<std::uint32_t>(content.size()), 4);
    text(layout_.data() + (cluster_ - kFirstCluster) * kCluster, content);
    for (auto left = pieces(content.size(), kCluster); left != 0; --left, ++cluster_) {
      link(cluster_, left == 1 ? kEndOfChain : static_cast<std::uint32_t>(cluster_ + 1));
    }
  }

  std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  [[nodiscard]] std::size_t root() const { return layout_.root(); }
  std::size_t next_entry() { return root() + kEntry * entries_++; }

  void number(std::size_t at, std::uint32_t value, unsigned width) {
    for (unsigned index = 0; index < width; ++index)
      bytes_[at + index] = static_cast<std::byte>(value >> 8 * index & 0xffU);
  }
  void text(std::size_t at, std::string_view value) {
    std::ranges::copy(std::as_bytes(std::span{value}), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  static std::string padded(std::string_view value, std::size_t width) {
    std::string field{value};
    field.resize(width, ' ');
    return field;
  }

  void boot_sector(std::string_view label) {
    number(0, 0x903ceb, 3);  // a jump over all this
    text(3, "PCIVM   ");
    number(11, kSector, 2);
    number(13, kCluster / kSector, 1);
    number(14, 1, 2);  // sectors before the tables
    number(16, 2, 1);  // tables
    number(17, kRootEntries, 2);
    number(19, static_cast<std::uint32_t>(layout_.size() / kSector), 2);
    number(21, kMedia, 1);
    number(22, static_cast<std::uint32_t>(layout_.table), 2);
    number(24, 32, 2);  // sectors of a track
    number(26, 64, 2);  // heads
    number(36, 0x80, 1);
    number(38, 0x29, 1);
    number(39, static_cast<std::uint32_t>(hash_of(label)), 4);
    text(43, padded(label, kShort));
    text(54, "FAT12   ");
    number(510, 0xaa55, 2);
  }

  // An entry of 12 bits, in both tables.
  void link(std::size_t cluster, std::uint32_t value) {
    for (std::size_t table = 0; table < 2; ++table) {
      const auto at = kSector * (1 + table * layout_.table) + cluster * 3 / 2;
      const auto old = std::to_integer<std::uint32_t>(bytes_[at]) | std::to_integer<std::uint32_t>(bytes_[at + 1])
                                                                        << 8U;
      const bool odd = cluster % 2 != 0;
      number(at, odd ? (old & 0x000fU) | value << 4U : (old & 0xf000U) | value, 2);
    }
  }

  // "META-D~1   ": of the entries here each has a number of its own.
  std::string short_name(std::string_view name) {
    std::string base;
    for (const char c : name) {
      if (c != '.' && base.size() < 6) base += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    const auto number = fmt::format("~{}", ++files_);
    return padded(base.substr(0, 8 - number.size()) + number, kShort);
  }

  // The parts of a long name stand before the entry, the last first, tied to it by a sum over the short name.
  void long_name(std::string_view name, std::string_view alias) {
    std::uint8_t sum = 0;
    for (const char c : alias) sum = static_cast<std::uint8_t>((sum >> 1U | sum << 7U) + static_cast<std::uint8_t>(c));
    constexpr std::array<std::size_t, kLongPart> kPlaces{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    const auto parts = pieces(name.size(), kLongPart);
    for (auto part = parts; part != 0; --part) {
      const auto at = next_entry();
      number(at, static_cast<std::uint32_t>(part) | (part == parts ? kLastPart : 0U), 1);
      number(at + kShort, kLongName, 1);
      number(at + 13, sum, 1);
      for (std::size_t index = 0; index < kLongPart; ++index) {
        const auto position = (part - 1) * kLongPart + index;
        const auto unit = position < name.size()
                              ? static_cast<std::uint32_t>(static_cast<unsigned char>(name[position]))
                          : position == name.size() ? 0U
                                                    : 0xffffU;
        number(at + kPlaces[index], unit, 2);
      }
    }
  }

  Layout layout_;
  std::vector<std::byte> bytes_;
  std::size_t entries_{};
  std::size_t files_{};
  std::size_t cluster_{kFirstCluster};
};

bool is_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kLongest && name.front() != '.' && std::ranges::all_of(name, allowed);
}

}  // namespace

Result<std::vector<std::byte>> make_vfat(std::string_view label, const VfatFiles& files) {
  if (label.empty() || label.size() > kShort || files.size() > kMostFiles) {
    return fail(Errc::invalid, fmt::format("a file system '{}' of {} files found, a label of 1 to {} characters and at "
                                           "most {} files wanted",
                                           label, files.size(), kShort, kMostFiles));
  }
  Layout layout{.clusters = 1, .table = 0};
  for (const auto& [name, content] : files) {
    if (!is_name(name))
      return fail(Errc::invalid,
                  fmt::format("file name '{}' found, 1 to {} of a-z, 0-9, - _ . wanted", name, kLongest));
    layout.clusters += pieces(content.size(), kCluster);
  }
  if (layout.clusters > kMostClusters) {
    return fail(Errc::invalid, fmt::format("files of {} KiB found, less than {} KiB wanted",
                                           layout.clusters * kCluster / 1024, kMostClusters * kCluster / 1024));
  }
  layout.table = pieces((layout.clusters + kFirstCluster) * 3 / 2 + 1, kSector);
  Writer writer{layout, label};
  for (const auto& [name, content] : files) writer.add(name, content);
  return std::move(writer).take();
}

}  // namespace pcivm::cli
