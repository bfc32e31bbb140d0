// SPDX-License-Identifier: GPL-2.0-or-later
// Writes to a disk or to a BAR what can be told from anything else, and reads it back; for guests and the lab's host,
// linked statically. Says "LAB-RESULT verified=BYTES", or what differs.
//
//   verify disk FILE MEBIBYTES SEED        the first so many of it, past the page cache (Linux AIO): all of it in
//   pieces
//                                          of 4 to 128 KiB in random order, then half of it anew, twice, with 1, 8 and
//                                          32 requests at a time; then all is read back in another order
//   verify kept FILE MEBIBYTES SEED        only the last part: what `disk` wrote with that seed is still there
//   verify memory FILE SEED                a PCI resource of sysfs: its first, its last and 62 random pieces of 256 KiB
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kBlock = 4096;
constexpr unsigned kMostBlocks = 32;  // of one request
constexpr std::array<unsigned, 3> kDepths{1, 8, 32};
constexpr std::size_t kPiece = 256UL * 1024;

[[noreturn]] void die(const char* what) {
  std::printf("LAB-RESULT error=%s:%s\n", what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

[[noreturn]] void differs(std::uint64_t at, std::uint64_t found, std::uint64_t wanted) {
  std::printf("LAB-RESULT error=%#llx is %#llx, wanted %#llx\n", static_cast<unsigned long long>(at),
              static_cast<unsigned long long>(found), static_cast<unsigned long long>(wanted));
  std::exit(EXIT_FAILURE);
}

int succeed(std::uint64_t bytes) {
  std::printf("LAB-RESULT verified=%llu\n", static_cast<unsigned long long>(bytes));
  return EXIT_SUCCESS;
}

/// The word at `offset`, of which no other offset, pass or seed has the like (splitmix64).
std::uint64_t word(std::uint64_t seed, std::uint64_t pass, std::uint64_t offset) {
  auto value = seed * 0x9e3779b97f4a7c15ULL + (pass << 56U) + offset;
  value = (value ^ value >> 30U) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ value >> 27U) * 0x94d049bb133111ebULL;
  return value ^ value >> 31U;
}

struct Extent {
  std::uint64_t block{};
  unsigned count{};
};

class Disk {
 public:
  Disk(const char* path, std::uint64_t bytes, std::uint64_t seed)
      : file_{::open(path, O_RDWR | O_DIRECT)}, seed_{seed}, passes_(bytes / kBlock), random_{seed} {
    if (file_ < 0) die("open");
    if (::syscall(SYS_io_setup, kDepths.back(), &context_) != 0) die("io_setup");
    for (auto& buffer : buffers_) {
      buffer = static_cast<std::uint64_t*>(std::aligned_alloc(kBlock, kBlock * kMostBlocks));
    }
  }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  ~Disk() { ::close(file_); }

  /// `really` = false only finds out what was written.
  void write(bool really) {
    for (unsigned pass = 0; pass < kDepths.size(); ++pass) {
      auto extents = cut();
      if (pass != 0) extents.resize(extents.size() / 2);
      for (const auto& extent : extents) {
        for (unsigned index = 0; index < extent.count; ++index) passes_[extent.block + index] = pass;
      }
      if (really) run(IOCB_CMD_PWRITE, extents, kDepths.at(pass));
    }
    if (really && ::fdatasync(file_) != 0) die("fdatasync");
  }
  void check() { run(IOCB_CMD_PREAD, cut(), kDepths.back()); }

 private:
  /// All of it, in random pieces and order.
  std::vector<Extent> cut() {
    std::vector<Extent> extents;
    for (std::uint64_t block = 0; block < passes_.size();) {
      const auto count = std::min<std::uint64_t>(1 + random_() % kMostBlocks, passes_.size() - block);
      extents.push_back({.block = block, .count = static_cast<unsigned>(count)});
      block += count;
    }
    std::ranges::shuffle(extents, random_);
    return extents;
  }

  void fill(const Extent& extent, std::uint64_t* buffer) const {
    for (std::uint64_t at = 0; at < extent.count * kBlock; at += 8) *buffer++ = wanted(extent, at);
  }
  void compare(const Extent& extent, const std::uint64_t* buffer) const {
    for (std::uint64_t at = 0; at < extent.count * kBlock; at += 8, ++buffer) {
      if (*buffer != wanted(extent, at)) differs(extent.block * kBlock + at, *buffer, wanted(extent, at));
    }
  }
  [[nodiscard]] std::uint64_t wanted(const Extent& extent, std::uint64_t at) const {
    return word(seed_, passes_[extent.block + at / kBlock], extent.block * kBlock + at);
  }

  void run(std::uint16_t what, std::span<const Extent> extents, unsigned depth) {
    std::array<iocb, kDepths.back()> requests{};
    std::array<io_event, kDepths.back()> events{};
    std::array<Extent, kDepths.back()> active{};
    std::vector<unsigned> idle;
    for (unsigned slot = 0; slot < depth; ++slot) idle.push_back(slot);
    std::size_t next = 0;
    while (next < extents.size() || idle.size() < depth) {
      while (!idle.empty() && next < extents.size()) {
        const auto slot = idle.back();
        idle.pop_back();
        active.at(slot) = extents[next++];
        submit(what, active.at(slot), slot, requests.at(slot));
      }
      const auto got = ::syscall(SYS_io_getevents, context_, 1, depth, events.data(), nullptr);
      if (got < 1) die("io_getevents");
      for (const auto& event : std::span{events}.first(static_cast<std::size_t>(got))) {
        const auto slot = static_cast<unsigned>(event.data);
        const auto& extent = active.at(slot);
        errno = event.res < 0 ? static_cast<int>(-event.res) : 0;
        if (event.res != static_cast<std::int64_t>(extent.count * kBlock)) die("request");
        if (what == IOCB_CMD_PREAD) compare(extent, buffers_.at(slot));
        idle.push_back(slot);
      }
    }
  }

  void submit(std::uint16_t what, const Extent& extent, unsigned slot, iocb& request) {
    request = {};
    request.aio_data = slot;
    request.aio_lio_opcode = what;
    request.aio_fildes = static_cast<std::uint32_t>(file_);
    request.aio_buf = reinterpret_cast<std::uintptr_t>(buffers_.at(slot));
    request.aio_nbytes = extent.count * kBlock;
    request.aio_offset = static_cast<std::int64_t>(extent.block * kBlock);
    if (what == IOCB_CMD_PWRITE) {
      fill(extent, buffers_.at(slot));
    } else {
      std::memset(buffers_.at(slot), 0, extent.count * kBlock);
    }
    iocb* one = &request;
    if (::syscall(SYS_io_submit, context_, 1, &one) != 1) die("io_submit");
  }

  int file_;
  std::uint64_t seed_;
  std::vector<std::uint64_t> passes_;  // that wrote a block last
  std::mt19937_64 random_;
  aio_context_t context_{};
  std::array<std::uint64_t*, kDepths.back()> buffers_{};
};

int disk(const char* path, std::uint64_t bytes, std::uint64_t seed, bool write) {
  Disk disk{path, bytes, seed};
  disk.write(write);
  disk.check();
  return succeed(bytes);
}

int memory(const char* path, std::uint64_t seed) {
  constexpr unsigned kPieces = 64;
  const int file = ::open(path, O_RDWR);
  if (file < 0) die("open");
  const auto pieces = static_cast<std::uint64_t>(::lseek(file, 0, SEEK_END)) / kPiece;
  if (pieces < kPieces) die("size");
  std::mt19937_64 random{seed};
  std::vector<std::uint64_t> chosen{0, pieces - 1};
  while (chosen.size() < kPieces) {
    const auto piece = random() % pieces;
    if (std::ranges::find(chosen, piece) == chosen.end()) chosen.push_back(piece);
  }
  for (const bool write : {true, false}) {
    for (const auto piece : chosen) {
      const auto start = piece * kPiece;
      void* mapped = ::mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(start));
      if (mapped == MAP_FAILED) die("mmap");
      volatile auto* words = static_cast<std::uint64_t*>(mapped);
      for (std::uint64_t at = 0; at < kPiece; at += 8) {
        const auto wanted = word(seed, 0, start + at);
        if (write) {
          words[at / 8] = wanted;
        } else if (const std::uint64_t found = words[at / 8]; found != wanted) {
          differs(start + at, found, wanted);
        }
      }
      ::munmap(mapped, kPiece);
    }
  }
  return succeed(kPieces * kPiece);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (argc == 4 && what == "memory") return memory(argv[2], std::strtoull(argv[3], nullptr, 0));
  if (argc == 5 && (what == "disk" || what == "kept")) {
    return disk(argv[2], std::strtoull(argv[3], nullptr, 0) << 20U, std::strtoull(argv[4], nullptr, 0), what == "disk");
  }
  std::fputs("usage: verify disk|kept FILE MEBIBYTES SEED | verify memory FILE SEED\n", stderr);
  return 2;
}
