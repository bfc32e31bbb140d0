// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/result.hpp"

#include <cerrno>
#include <cstring>

namespace pcivm {

namespace {

Errc kind_of(int err) {
  switch (err) {
    case EACCES:
    case EPERM: return Errc::denied;
    case EBUSY: return Errc::busy;
    case ENOENT: return Errc::not_found;
    case ETIMEDOUT: return Errc::timeout;
    default: return Errc::kernel;
  }
}

}  // namespace

std::string_view to_string(Errc kind) {
  switch (kind) {
    case Errc::internal: return "internal";
    case Errc::invalid: return "invalid";
    case Errc::not_found: return "not_found";
    case Errc::busy: return "busy";
    case Errc::refused: return "refused";
    case Errc::denied: return "denied";
    case Errc::kernel: return "kernel";
    case Errc::timeout: return "timeout";
    case Errc::rolled_back: return "rolled_back";
    case Errc::stranded: return "stranded";
  }
  return "unknown";
}

std::string errno_name(int err) {
  const char* name = ::strerrorname_np(err);
  return name != nullptr ? name : "errno " + std::to_string(err);
}

Error::Error(Errc kind, int err, std::string what) : kind_{kind}, errno_{err} { frames_.push_back(std::move(what)); }

Error Error::from_errno(int err, std::string what) { return {kind_of(err), err, std::move(what)}; }

Error Error::make(Errc kind, std::string what) { return {kind, 0, std::move(what)}; }

Error Error::within(std::string outer) && {
  frames_.push_back(std::move(outer));
  return std::move(*this);
}

Error Error::advise(std::string hint) && {
  if (hint_.empty()) hint_ = std::move(hint);
  return std::move(*this);
}

Error Error::as(Errc kind) && {
  kind_ = kind;
  return std::move(*this);
}

Error Error::coded(std::string_view code) && {
  code_ = code;
  return std::move(*this);
}

std::string Error::text() const {
  std::string out;
  for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
    if (!out.empty()) out += ": ";
    out += *frame;
  }
  if (errno_ != 0) {
    const char* description = ::strerrordesc_np(errno_);
    out += ": ";
    out += description != nullptr ? description : "unknown error";
    out += " (" + errno_name(errno_) + ")";
  }
  return out;
}

}  // namespace pcivm
