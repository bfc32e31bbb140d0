// SPDX-License-Identifier: GPL-2.0-or-later
// Values as bytes and descriptors, for another process of the same program, which makes the same values of them. One
// function does both ways, so that they cannot differ. A struct needs kMembers; pointers and classes do not compile,
// unless Crossing says how.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/members.hpp"

namespace pcivm {

/// How many members a struct has that crosses: `template <> inline constexpr std::size_t kMembers<Disk> = 3;`. With
/// one member more it does not compile.
template <class T>
inline constexpr std::size_t kMembers = 0;
template <class A, class B>
inline constexpr std::size_t kMembers<std::pair<A, B>> = 2;

/// For what is no struct: specialize it with a static function `cross(Archive&, T&)`.
template <class T>
struct Crossing;

/// Descriptors are numbers of their own, and change their owner.
struct Parcel {
  std::string bytes{};
  std::vector<Fd> files{};
};

class ParcelWriter final {
 public:
  void number(std::uint64_t value, std::size_t size) {
    for (std::size_t at = 0; at < size; ++at) parcel_.bytes += static_cast<char>(value >> (8 * at) & 0xffU);
  }
  [[nodiscard]] std::size_t count(std::size_t value) {
    number(value, 8);
    return value;
  }
  void file(Fd& fd) {
    number(fd ? 1 : 0, 1);
    if (fd) parcel_.files.push_back(std::move(fd));
  }
  [[nodiscard]] Parcel take() { return std::move(parcel_); }

 private:
  Parcel parcel_;
};

/// Of bytes that say something else what is read is unspecified, as large as they are at most, and good() is false.
class ParcelReader final {
 public:
  explicit ParcelReader(Parcel parcel) : parcel_{std::move(parcel)} {}
  [[nodiscard]] std::uint64_t number(std::size_t size) {
    if (size > left()) {
      refuse();
      return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t each = 0; each < size; ++each) {
      value |= std::uint64_t{static_cast<std::uint8_t>(parcel_.bytes[at_++])} << (8 * each);
    }
    return value;
  }
  /// Of elements, each of which has a byte at least.
  [[nodiscard]] std::size_t count(std::size_t) {
    const auto value = number(8);
    if (value <= left()) return value;
    refuse();
    return 0;
  }
  void file(Fd& fd) {
    const auto there = number(1);
    fd = Fd{};
    if (there == 0) return;
    if (there != 1 || next_file_ == parcel_.files.size()) return refuse();
    fd = std::move(parcel_.files[next_file_++]);
  }
  void refuse() {
    good_ = false;
    at_ = parcel_.bytes.size();
  }
  /// Everything was there, and nothing more.
  [[nodiscard]] bool good() const { return good_ && left() == 0 && next_file_ == parcel_.files.size(); }

 private:
  [[nodiscard]] std::size_t left() const { return parcel_.bytes.size() - at_; }
  Parcel parcel_;
  std::size_t at_{};
  std::size_t next_file_{};
  bool good_{true};
};

template <class Archive>
inline constexpr bool kReads = std::same_as<Archive, ParcelReader>;

namespace detail {
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsArray = std::is_array_v<T>;
template <class T, std::size_t size>
inline constexpr bool kIsArray<std::array<T, size>> = true;
template <class T>
inline constexpr bool kGrows = std::same_as<T, std::string>;
template <class T>
inline constexpr bool kGrows<std::vector<T>> = true;
template <class T>
concept CrossesByItself = requires(ParcelReader& archive, T& value) { Crossing<T>::cross(archive, value); };
}  // namespace detail

/// Writes `value`, whose descriptors are given away, or reads it.
template <class Archive, class T>
void cross(Archive& archive, T& value) {
  if constexpr (detail::CrossesByItself<T>) {
    Crossing<T>::cross(archive, value);
  } else if constexpr (std::same_as<T, Fd>) {
    archive.file(value);
  } else if constexpr (std::integral<T> || std::is_enum_v<T>) {
    if constexpr (kReads<Archive>) {
      const auto number = archive.number(sizeof(T));
      if (std::same_as<T, bool> && number > 1) archive.refuse();
      value = static_cast<T>(std::same_as<T, bool> ? number & 1U : number);
    } else {
      archive.number(static_cast<std::uint64_t>(value), sizeof(T));
    }
  } else if constexpr (detail::kIsArray<T>) {
    for (auto& each : value) cross(archive, each);
  } else if constexpr (detail::kGrows<T>) {
    const auto count = archive.count(value.size());
    if constexpr (kReads<Archive>) value.resize(count);
    for (auto& each : value) cross(archive, each);
  } else if constexpr (detail::kIsOptional<T>) {
    bool there = value.has_value();
    cross(archive, there);
    if constexpr (kReads<Archive>) value.reset();
    if (there && !value) value.emplace();
    if (value) cross(archive, *value);
  } else {
    static_assert(kMembers<T> != 0, "say how many members it has: kMembers");
    std::apply([&archive](auto&... members) { (cross(archive, members), ...); }, members_of<kMembers<T>>(value));
  }
}

}  // namespace pcivm
