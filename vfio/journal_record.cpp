// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio/journal_record.hpp"

#include <fcntl.h>

#include <cstdint>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/parse.hpp"
#include "base/replace_file.hpp"
#include "base/text.hpp"

namespace pcivm::vfio {

namespace {

constexpr std::string_view kHeader{"pcivm-record 1\n"};
constexpr std::string_view kSum{"sum="};  // an attacker would need root to get here

std::string escape(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '%') {
      out += "%25";
    } else if (c == '\n') {
      out += "%0a";
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescape(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    const bool percent = value.starts_with("%25");
    const bool newline = value.starts_with("%0a");
    out += percent ? '%' : newline ? '\n' : value.front();
    value.remove_prefix(percent || newline ? 3 : 1);
  }
  return out;
}

}  // namespace

void Record::set(std::string_view key, std::string_view value) { fields_[std::string{key}] = value; }

std::string Record::get(std::string_view key) const {
  const auto found = fields_.find(key);
  return found == fields_.end() ? std::string{} : found->second;
}

bool Record::has(std::string_view key) const { return fields_.contains(key); }

std::string Record::serialize() const {
  std::string text{kHeader};
  for (const auto& [key, value] : fields_) text += fmt::format("{}={}\n", key, escape(value));
  text += fmt::format("{}{:016x}\n", kSum, hash_of(text));
  return text;
}

Result<Record> Record::parse(std::string_view text) {
  const auto damaged = [&](std::string_view why) {
    return fail(Errc::invalid, fmt::format("damaged record of {} bytes: {}", text.size(), why));
  };
  if (!text.starts_with(kHeader)) return damaged("no header");
  // The checksum line has one length only, so a cut anywhere, even of the last newline, is seen.
  constexpr std::size_t kTail{kSum.size() + 16 + 1};
  if (text.size() < kHeader.size() + kTail || !text.ends_with('\n')) return damaged("cut short");
  const auto body = text.substr(0, text.size() - kTail);
  const auto tail = text.substr(body.size());
  const auto sum = parse_hex<std::uint64_t>(tail.substr(kSum.size(), 16));
  if (!tail.starts_with(kSum) || !sum || *sum != hash_of(body)) return damaged("wrong checksum");

  Record record;
  for (auto rest = body.substr(kHeader.size()); !rest.empty();) {
    const auto end = rest.find('\n');
    const auto equals = rest.find('=');
    if (end == std::string_view::npos || equals >= end) return damaged("a line without '='");
    record.set(rest.substr(0, equals), unescape(rest.substr(equals + 1, end - equals - 1)));
    rest.remove_prefix(end + 1);
  }
  return record;
}

Result<void> store(const SysRoot& root, std::string_view path, const Record& record) {
  return replace_file(root, path, record.serialize(), 0600, 0700);
}

Result<Record> load(const SysRoot& root, std::string_view path) {
  const auto fd = TRY(root.open_file(path, O_RDONLY));
  const auto text = TRY_IN(read_to_end(fd.ref()), fmt::format("read '{}'", path));
  return TRY_IN(Record::parse(text), std::string{path});
}

Result<void> erase(const SysRoot& root, std::string_view path) { return remove_file(root, path); }

}  // namespace pcivm::vfio
