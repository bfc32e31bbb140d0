// SPDX-License-Identifier: GPL-2.0-or-later
#include "vmm/virtio/block_request.hpp"

#include <fcntl.h>
#include <linux/virtio_blk.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace pcivm::vmm {

namespace {

constexpr std::uint64_t kBounce = 64 * kKiB;
constexpr std::size_t kMostParts = 512;
alignas(4096) std::array<std::byte, kBounce> zeroes_source{};

struct Header {
  std::uint32_t type;
  std::uint32_t reserved;
  std::uint64_t sector;
};

template <class T>
bool read_as(ChainReader& reader, T& value) {
  return reader.read(std::as_writable_bytes(std::span{&value, 1}));
}

void copy(std::span<const iovec> parts, std::span<std::byte> linear, bool to_parts) {
  for (const auto& part : parts) {
    const auto count = std::min(part.iov_len, linear.size());
    if (to_parts) {
      std::memcpy(part.iov_base, linear.data(), count);
    } else {
      std::memcpy(linear.data(), part.iov_base, count);
    }
    linear = linear.subspan(count);
  }
}

}  // namespace

Result<void> BlockRequest::parse(const BlockLimits& limits) {
  status_.reset();
  parts_.clear();
  bounced_ = false;
  alignment_ = limits.geometry.memory_alignment;
  ChainReader reader{chain};
  Header header{};
  if (!read_as(reader, header)) return fail(Errc::invalid, "a request without a header");
  if (chain.writable_bytes == 0) return fail(Errc::invalid, "a request without room for its status");
  const auto room = chain.writable_bytes - 1;
  switch (header.type) {
    case VIRTIO_BLK_T_IN:
      kind_ = Kind::read;
      ChainWriter{chain}.reserve(room, parts_);
      parse_transfer(limits, header.sector);
      break;
    case VIRTIO_BLK_T_OUT:
      kind_ = Kind::write;
      reader.rest(parts_);
      parse_transfer(limits, header.sector);
      break;
    case VIRTIO_BLK_T_FLUSH:
      kind_ = Kind::sync;
      if (limits.read_only) end(VIRTIO_BLK_S_OK);
      break;
    case VIRTIO_BLK_T_DISCARD: parse_discard(limits, reader, false); break;
    case VIRTIO_BLK_T_WRITE_ZEROES: parse_discard(limits, reader, true); break;
    case VIRTIO_BLK_T_GET_ID: identify(limits.serial); break;
    default: end(VIRTIO_BLK_S_UNSUPP); break;
  }
  return {};
}

void BlockRequest::parse_transfer(const BlockLimits& limits, std::uint64_t sector) {
  left_ = total_length(parts_);
  const auto& geometry = limits.geometry;
  const bool inside = left_ % geometry.block_size == 0 && fits(sector, left_ / kSector, geometry.sectors) &&
                      sector * kSector % geometry.block_size == 0;
  offset_ = sector * kSector;
  if (!inside || (kind_ == Kind::write && limits.read_only)) {
    end(VIRTIO_BLK_S_IOERR);
  } else if (left_ == 0) {
    end(VIRTIO_BLK_S_OK);
  } else if (alignment_ > 1 && !aligned() && !bounce_) {
    auto made = Mapping::anonymous(kBounce);
    if (made) bounce_ = std::move(*made);
    if (!made) end(VIRTIO_BLK_S_IOERR);
  }
}

void BlockRequest::parse_discard(const BlockLimits& limits, ChainReader reader, bool zeroes) {
  virtio_blk_discard_write_zeroes range{};
  const bool whole = reader.left() == sizeof range && read_as(reader, range);
  const auto known = zeroes ? std::uint32_t{VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP} : 0U;
  kind_ = Kind::allocate;
  if (!whole || limits.read_only || range.num_sectors > limits.most_discard ||
      !fits(range.sector, range.num_sectors, limits.geometry.sectors)) {
    end(VIRTIO_BLK_S_IOERR);
    return;
  }
  if ((range.flags & ~known) != 0) {
    end(VIRTIO_BLK_S_UNSUPP);
    return;
  }
  offset_ = range.sector * kSector;
  left_ = range.num_sectors * kSector;
  const bool keep = zeroes && range.flags == 0;
  mode_ = (keep ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE;
  must_be_zero_ = zeroes;
  if (left_ == 0) end(VIRTIO_BLK_S_OK);
}

void BlockRequest::identify(std::string_view serial) {
  std::array<std::byte, VIRTIO_BLK_ID_BYTES> id{};
  std::ranges::copy(std::as_bytes(std::span{serial}).first(std::min(serial.size(), id.size())), id.begin());
  if (chain.writable_bytes - 1 < id.size()) {
    end(VIRTIO_BLK_S_IOERR);
    return;
  }
  (void)ChainWriter{chain}.write(id);
  end(VIRTIO_BLK_S_OK);
}

bool BlockRequest::aligned() const {
  return std::ranges::all_of(parts_, [this](const iovec& part) {
    return is_aligned(std::bit_cast<std::uintptr_t>(part.iov_base) | part.iov_len, alignment_);
  });
}

// With O_DIRECT the kernel takes aligned buffers only; others go through one of ours, a piece at a time.
void BlockRequest::submit(IoEngine& engine, FdRef file, std::uint64_t token) {
  switch (kind_) {
    case Kind::sync: engine.sync(file, token); return;
    case Kind::allocate: engine.allocate(file, mode_, offset_, left_, token); return;
    case Kind::zeroes: write_zeroes(); break;
    case Kind::read:
    case Kind::write:
      bounced_ = alignment_ > 1 && !aligned();
      if (bounced_) {
        const auto piece = bounce_.bytes().first(std::min<std::uint64_t>(left_, bounce_.length()));
        if (kind_ == Kind::write) copy(parts_, piece, false);
        step_ = {{.iov_base = piece.data(), .iov_len = piece.size()}};
      } else {
        step_ = parts_;
      }
      break;
  }
  if (kind_ == Kind::read) {
    engine.read(file, offset_, step_, token);
  } else {
    engine.write(file, offset_, step_, token);
  }
}

void BlockRequest::write_zeroes() {
  step_.clear();
  for (auto left = left_; left != 0 && step_.size() < kMostParts;) {
    const auto count = std::min<std::uint64_t>(left, zeroes_source.size());
    step_.push_back({.iov_base = zeroes_source.data(), .iov_len = count});
    left -= count;
  }
}

Result<void> BlockRequest::advance(std::int32_t result) {
  if (result < 0) return failed(-result);
  if (kind_ == Kind::sync || kind_ == Kind::allocate) {
    end(VIRTIO_BLK_S_OK);
    return {};
  }
  const auto count = static_cast<std::uint64_t>(result);
  // Past the end of a file that shrank.
  if (count == 0 || count > left_) return failed(EIO);
  if (kind_ == Kind::read && bounced_) copy(parts_, bounce_.bytes().first(count), true);
  if (kind_ != Kind::zeroes) drop_front(parts_, count);
  offset_ += count;
  left_ -= count;
  if (left_ == 0) end(VIRTIO_BLK_S_OK);
  return {};
}

// What a file system cannot do by fallocate is written out, or was a wish only.
Result<void> BlockRequest::failed(int error) {
  if (error == EINTR || error == EAGAIN) return {};
  if (kind_ == Kind::allocate && (error == EOPNOTSUPP || error == ENOSYS)) {
    if (must_be_zero_) {
      kind_ = Kind::zeroes;
    } else {
      end(VIRTIO_BLK_S_OK);
    }
    return {};
  }
  end(VIRTIO_BLK_S_IOERR);
  constexpr std::array kNames{"read", "write", "fdatasync", "fallocate", "write zeroes"};
  return fail_errno(error, fmt::format("{} at {:#x}", kNames.at(static_cast<std::size_t>(kind_)), offset_));
}

void BlockRequest::answer() const {
  const auto& last = chain.writable.back();
  static_cast<std::uint8_t*>(last.iov_base)[last.iov_len - 1] = *status_;
}

}  // namespace pcivm::vmm
