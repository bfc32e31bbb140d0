// SPDX-License-Identifier: GPL-2.0-or-later
// The other side of vhost-user: notes what it is told, and misbehaves at the request that it is asked to.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "vmm/guest_memory.hpp"

namespace pcivm::test {

class FakeDaemon final {
 public:
  enum class Mood : std::uint8_t { good, refuses, silent, gone, rubbish, short_answer, long_answer };
  static constexpr std::uint64_t kProtocol = 1ULL << 30U;
  static constexpr unsigned kGetBase = 11;
  explicit FakeDaemon(Fd socket) : socket_{std::move(socket)}, thread_{[this] { serve(); }} {}
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  ~FakeDaemon() { leave(); }

  void leave() { ::shutdown(socket_.ref().number(), SHUT_RDWR); }
  void say(std::string_view text) { (void)write_all(socket_.ref(), text); }
  void become(unsigned request, Mood mood) {
    const std::scoped_lock lock{mutex_};
    moods_[request] = mood;
  }
  std::vector<unsigned> requests() {
    const std::scoped_lock lock{mutex_};
    return requests_;
  }
  int file(unsigned request) {
    const std::scoped_lock lock{mutex_};
    return files_[request].empty() ? -1 : files_[request].back().ref().number();
  }
  std::size_t files(unsigned request) {
    const std::scoped_lock lock{mutex_};
    return files_[request].size();
  }
  std::vector<std::byte> payload(unsigned request) {
    const std::scoped_lock lock{mutex_};
    return payloads_[request];
  }
  std::atomic<std::uint64_t> features{kProtocol | ~0xffffffffULL | 0xffffffULL << 8U};
  std::atomic<std::uint64_t> protocol{~0ULL};

 private:
  struct Header {
    std::uint32_t request;
    std::uint32_t flags;
    std::uint32_t length;
  };
  void serve() {
    for (;;) {
      Header header{};
      iovec part{.iov_base = &header, .iov_len = sizeof header};
      alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(8 * sizeof(int))> room{};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = room.data();
      message.msg_controllen = room.size();
      if (::recvmsg(socket_.ref().number(), &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != sizeof header) return;
      std::vector<std::byte> payload(header.length);
      if (header.length != 0 &&
          ::recv(socket_.ref().number(), payload.data(), payload.size(), MSG_WAITALL) != header.length) {
        return;
      }
      Mood mood{};
      {
        const std::scoped_lock lock{mutex_};
        requests_.push_back(header.request);
        payloads_[header.request] = payload;
        auto& files = files_[header.request];
        files.clear();
        for (auto* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
          const auto count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
          for (std::size_t index = 0; index < count; ++index) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(each) + index * sizeof number, sizeof number);
            files.push_back(Fd::adopt(number));
          }
        }
        mood = moods_[header.request];
      }
      if (mood == Mood::silent) continue;
      if (mood == Mood::gone) return leave();
      if (mood == Mood::rubbish) {
        say("this is no answer to anything");
        continue;
      }
      answer(header, payload, mood);
    }
  }
  void answer(const Header& header, const std::vector<std::byte>& payload, Mood mood) {
    std::uint64_t value = mood == Mood::refuses ? 1 : 0;
    if (header.request == 1) value = features;
    if (header.request == 15) value = protocol;
    if (header.request == kGetBase) std::memcpy(&value, payload.data(), sizeof value);
    const bool asks = header.request == 1 || header.request == 15 || header.request == kGetBase;
    if (!asks && (header.flags & 8U) == 0) return;
    const auto length = sizeof value + (mood == Mood::long_answer ? 8U : 0U);
    const Header reply{.request = header.request, .flags = 5, .length = static_cast<std::uint32_t>(length)};
    std::vector<std::byte> bytes(sizeof reply + length);
    std::memcpy(bytes.data(), &reply, sizeof reply);
    std::memcpy(bytes.data() + sizeof reply, &value, sizeof value);
    if (mood == Mood::short_answer) bytes.resize(bytes.size() - 3);
    (void)::send(socket_.ref().number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  Fd socket_;
  std::mutex mutex_;
  std::map<unsigned, Mood> moods_;
  std::vector<unsigned> requests_;
  std::map<unsigned, std::vector<Fd>> files_;
  std::map<unsigned, std::vector<std::byte>> payloads_;
  std::jthread thread_;
};

/// As ring_memory(), for daemons.
inline vmm::GuestMemory shareable_memory() {
  const std::array ranges{vmm::GuestMemory::Range{.gpa = Gpa{0}, .length = 2 * kMiB},
                          vmm::GuestMemory::Range{.gpa = Gpa{16 * kMiB}, .length = 2 * kMiB}};
  return vmm::GuestMemory::create(ranges, vmm::RamBacking{.shared = true}).value();
}

}  // namespace pcivm::test
