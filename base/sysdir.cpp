// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/sysdir.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

namespace pcivm {

namespace {

constexpr std::size_t kMostSpent = 64;  // far below the usual limit of 1024 open files

std::string_view first_component(std::string_view path) { return path.substr(0, path.find('/')); }

Fd or_nothing(Result<Fd> file) { return file ? std::move(*file) : Fd{}; }

}  // namespace

Result<SysDir> SysDir::open(const SysRoot& root, std::string path) {
  auto directory = TRY(root.open_file(path, O_RDONLY | O_DIRECTORY));
  return SysDir{root, std::move(path), std::move(directory)};
}

SysDir::~SysDir() { close_spent(); }

// A link of a captured host may be absolute: the slow way puts it into the root. Where the kernel finds only links that
// stay inside, the directory can be walked again without that care.
bool SysDir::stays_inside(std::string_view below) {
  const auto first = first_component(below);
  if (root_->live() || first == inside_) return true;
  auto place = root_->open_strictly(path_below(first), O_PATH);
  if (!place) return false;
  spend(std::move(*place));
  inside_ = first;
  return true;
}

Fd SysDir::open_below(std::string_view below) {
  if (root_->live()) return or_nothing(open_at(directory_.ref(), std::string{below}, O_RDONLY));
  const auto path = path_below(below);
  auto file = root_->open_strictly(path, O_RDONLY);
  if (file) inside_ = first_component(below);
  return or_nothing(file || file.error().kind() == Errc::not_found ? std::move(file)
                                                                   : root_->open_file(path, O_RDONLY));
}

std::string SysDir::path_below(std::string_view below) const { return (path_ + '/').append(below); }

void SysDir::spend(Fd file) {
  spent_.push_back(std::move(file));
  if (spent_.size() >= kMostSpent) close_spent();
}

void SysDir::close_spent() { close_all(spent_); }

std::size_t SysDir::read_into(std::string_view below, std::span<std::byte> buffer) {
  auto file = open_below(below);
  if (!file) return 0;
  const auto count = read_some(file.ref(), buffer).value_or(0);
  spend(std::move(file));
  return count;
}

std::string SysDir::read(std::string_view below) {
  std::array<char, kPage> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the kernel
  const auto count = read_into(below, std::as_writable_bytes(std::span{buffer}));
  std::string text{buffer.data(), count};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string SysDir::link(std::string_view below) {
  if (!stays_inside(below)) return root_->link(path_below(below)).value_or("");
  std::array<char, PATH_MAX> target;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const auto length = ::readlinkat(directory_.ref().number(), std::string{below}.c_str(), target.data(), target.size());
  return length < 0 ? std::string{} : std::string{target.data(), static_cast<std::size_t>(length)};
}

std::string SysDir::link_name(std::string_view below) {
  const auto target = link(below);
  return target.substr(target.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace pcivm
