// SPDX-License-Identifier: GPL-2.0-or-later
// Load for benchmarks, the same program in every guest and in the host; linked statically, since guests have no
// libraries. What it measured is its last line: "LAB-RESULT NAME=VALUE".
//
//   load disk FILE DEPTH SECONDS            random reads of 4 KiB past the page cache, DEPTH at a time (Linux AIO)
//   load serve PORT                         the other end of the next three, for any number of clients, one at a time
//   load send|receive|ping ADDRESS PORT SECONDS
//                                           a TCP stream away, a TCP stream back, one byte there and back
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kChunk = 65536;

[[noreturn]] void die(const char* what) {
  std::printf("LAB-RESULT error=%s:%s\n", what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void tell(const char* name, double amount, double seconds) {
  std::printf("LAB-RESULT %s=%.1f\n", name, amount / seconds);
}

int disk(const char* path, unsigned depth, double limit) {
  const int file = ::open(path, O_RDONLY | O_DIRECT);
  if (file < 0) die("open");
  const auto blocks = static_cast<std::uint64_t>(::lseek(file, 0, SEEK_END)) / kBlock;
  if (blocks == 0) die("size");
  aio_context_t context = 0;
  if (::syscall(SYS_io_setup, depth, &context) != 0) die("io_setup");
  auto* memory = static_cast<char*>(std::aligned_alloc(kBlock, kBlock * depth));
  std::vector<iocb> reads(depth);
  std::vector<iocb*> ready;
  std::vector<io_event> events(depth);
  std::uint64_t random = 88172645463325252;  // xorshift64
  const auto aim = [&](iocb& read) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    read.aio_offset = static_cast<std::int64_t>(random % blocks * kBlock);
    ready.push_back(&read);
  };
  for (unsigned i = 0; i < depth; ++i) {
    reads[i].aio_lio_opcode = IOCB_CMD_PREAD;
    reads[i].aio_fildes = static_cast<std::uint32_t>(file);
    reads[i].aio_buf = reinterpret_cast<std::uintptr_t>(memory + kBlock * i);
    reads[i].aio_nbytes = kBlock;
    aim(reads[i]);
  }
  std::uint64_t done = 0;
  const auto start = Clock::now();
  while (seconds_since(start) < limit) {
    const auto submitted = ::syscall(SYS_io_submit, context, ready.size(), ready.data());
    if (submitted != static_cast<long>(ready.size())) die("io_submit");
    ready.clear();
    const auto got = ::syscall(SYS_io_getevents, context, 1, depth, events.data(), nullptr);
    if (got < 1) die("io_getevents");
    for (const auto& event : std::span{events}.first(static_cast<std::size_t>(got))) {
      if (event.res != static_cast<std::int64_t>(kBlock)) die("read");
      ++done;
      aim(*reinterpret_cast<iocb*>(event.obj));
    }
  }
  const double seconds = seconds_since(start);
  std::printf("LAB-RESULT ios=%llu\n", static_cast<unsigned long long>(done));
  tell("iops", static_cast<double>(done), seconds);
  return EXIT_SUCCESS;
}

sockaddr_in address_of(const char* address, const char* port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, address, &name.sin_addr) != 1) die("address");
  return name;
}

void no_delay(int connection) {
  const int on = 1;
  (void)::setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void serve_one(int connection) {
  const auto chunk = std::make_unique<std::array<char, kChunk>>();
  char wish = 0;
  if (::read(connection, &wish, 1) != 1) return;
  for (;;) {
    const auto count = wish == 'r' ? ::write(connection, chunk->data(), chunk->size())
                                   : ::read(connection, chunk->data(), chunk->size());
    if (count <= 0) return;
    if (wish == 'p' && ::write(connection, chunk->data(), static_cast<std::size_t>(count)) != count) return;
  }
}

int serve(const char* port) {
  const auto name = address_of("0.0.0.0", port);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  (void)::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) die("bind");
  if (::listen(listener, 8) != 0) die("listen");
  for (;;) {
    const int connection = ::accept(listener, nullptr, nullptr);
    if (connection < 0) die("accept");
    no_delay(connection);
    serve_one(connection);
    ::close(connection);
  }
}

int stream(std::string_view what, const char* address, const char* port, double limit) {
  const auto name = address_of(address, port);
  const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(connection, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) die("connect");
  no_delay(connection);
  const auto chunk = std::make_unique<std::array<char, kChunk>>();
  const char wish = what.front();
  if (::write(connection, &wish, 1) != 1) die("write");
  std::uint64_t amount = 0;
  const auto start = Clock::now();
  while (seconds_since(start) < limit) {
    if (wish == 'p') {
      if (::write(connection, chunk->data(), 1) != 1 || ::read(connection, chunk->data(), 1) != 1) die("ping");
      ++amount;
      continue;
    }
    const auto count = wish == 's' ? ::write(connection, chunk->data(), chunk->size())
                                   : ::read(connection, chunk->data(), chunk->size());
    if (count <= 0) die("stream");
    amount += static_cast<std::uint64_t>(count);
  }
  const double seconds = seconds_since(start);
  const auto value = static_cast<double>(amount);
  if (wish == 'p') {
    tell("round_trips_per_second", value, seconds);
  } else {
    tell(wish == 's' ? "sent_mbit_per_second" : "received_mbit_per_second", value * 8 / 1e6, seconds);
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  (void)::signal(SIGPIPE, SIG_IGN);
  (void)std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::vector<std::string> words(argv, argv + argc);
  if (argc == 5 && words[1] == "disk") {
    return disk(argv[2], static_cast<unsigned>(std::atoi(argv[3])), std::atof(argv[4]));
  }
  if (argc == 3 && words[1] == "serve") return serve(argv[2]);
  if (argc == 5 && (words[1] == "send" || words[1] == "receive" || words[1] == "ping")) {
    return stream(words[1], argv[2], argv[3], std::atof(argv[4]));
  }
  std::fputs("usage: load disk FILE DEPTH SECONDS | serve PORT | send|receive|ping ADDRESS PORT SECONDS\n", stderr);
  return 2;
}
