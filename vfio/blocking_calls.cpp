// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/blocking_calls.hpp"

#include <fcntl.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/parse.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::size_t kPage{4'096};

// A request is 'r' PATH or 'w' PATH NUL VALUE; an answer is an errno in decimal, NUL, what was read.
std::string answered(int error, std::string_view text = {}) { return fmt::format("{}{}{}", error, '\0', text); }

int errno_of(const Error& error) { return error.sys_errno() != 0 ? error.sys_errno() : EIO; }

std::string carry(const SysRoot& root, std::string_view request) {
  const auto body = request.substr(1);
  if (request.front() == 'w') {
    const auto end = body.find('\0');
    const auto written = root.write(body.substr(0, end), body.substr(end + 1));
    return answered(written ? 0 : errno_of(written.error()));
  }
  const auto file = root.open_file(body, O_RDONLY);
  if (!file) return answered(errno_of(file.error()));
  const auto text = read_to_end(file->ref(), kPage);
  return text ? answered(0, *text) : answered(errno_of(text.error()));
}

}  // namespace

Result<std::string> BlockingCalls::ask(const SysRoot& root, std::string_view request,
                                       std::chrono::milliseconds deadline) {
  if (!child_ || !child_->usable()) {
    child_.reset();
    auto child = TRY(CallChild::start([&root](std::string_view asked) { return carry(root, asked); }));
    child_.emplace(std::move(child));
  }
  const auto answer = TRY(child_->ask(request, deadline));
  const auto end = answer.find('\0');
  const auto error = TRY(parse_decimal<unsigned>(std::string_view{answer}.substr(0, end)));
  if (error != 0) return fail_errno(static_cast<int>(error), {});
  return answer.substr(end + 1);
}

Result<void> BlockingCalls::write(const SysRoot& root, std::string_view path, std::string_view value,
                                  std::chrono::milliseconds deadline) {
  if (!root.live()) return root.write_within(path, value, deadline);
  const auto what = fmt::format("write '{}' to '{}'", value == "\n" ? "" : value, path);
  const auto done = ask(root, fmt::format("w{}{}{}", path, '\0', value), deadline);
  if (done) return {};
  if (done.error().sys_errno() != 0) return fail_errno(done.error().sys_errno(), what);
  return fail(Error{done.error()}.within(what));
}

Result<std::string> BlockingCalls::read(const SysRoot& root, std::string_view path,
                                        std::chrono::milliseconds deadline) {
  auto text = ask(root, fmt::format("r{}", path), deadline);
  if (!text) {
    const auto what = fmt::format("read '{}'", path);
    if (text.error().sys_errno() != 0) return fail_errno(text.error().sys_errno(), what);
    return fail(std::move(text).error().within(what));
  }
  if (text->ends_with('\n')) text->pop_back();
  return text;
}

}  // namespace pcivm::vfio
