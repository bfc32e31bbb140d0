// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "cli/config_yaml.hpp"

namespace pcivm::cli {

namespace {

/// Why what is open here can be changed by others than root and the caller; empty when it cannot.
std::string distrust_of(const struct stat& status) {
  const auto caller = ::geteuid();
  if (status.st_uid != 0 && status.st_uid != caller) {
    return fmt::format("owned by user {}, wanted {}", status.st_uid, caller == 0 ? "root" : "root or yourself");
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fmt::format("mode {:04o} lets {} write it", status.st_mode & 07777U,
                       (status.st_mode & S_IWOTH) != 0 ? "everybody" : "its group");
  }
  return {};
}

Result<struct stat> status_of(const Fd& fd, const std::string& name) {
  struct stat status{};
  if (::fstat(fd.ref().number(), &status) != 0) return fail_errno(errno, fmt::format("fstat '{}'", name));
  return status;
}

/// `opened` without following a link, and without waiting for the other end of a pipe.
Result<ConfigFile> read_file(Result<Fd> opened, const std::string& name) {
  if (!opened && opened.error().sys_errno() == ELOOP) {
    return fail(Error::make(Errc::refused, fmt::format("'{}' is a symbolic link, wanted the file itself", name))
                    .coded("config.untrusted"));
  }
  const auto fd = TRY(std::move(opened));
  const auto status = TRY(status_of(fd, name));
  if (!S_ISREG(status.st_mode)) {
    return fail(Error::make(Errc::invalid, fmt::format("'{}' is no file", name)).advise("- reads standard input"));
  }
  auto text = TRY_IN(read_to_end(fd.ref(), kConfigMostBytes), fmt::format("'{}'", name));
  return ConfigFile{{name, std::move(text)}, distrust_of(status)};
}

constexpr int kFlags{O_RDONLY | O_NOFOLLOW | O_NONBLOCK};

/// Who can write its folder can put another file in its place.
Result<std::string> folder_distrust(const SysRoot& root, std::string_view folder) {
  const auto fd = TRY(root.open_file(folder, O_RDONLY | O_DIRECTORY));
  const auto why = distrust_of(TRY(status_of(fd, std::string{folder})));
  return why.empty() ? why : fmt::format("its folder {}: {}", folder, why);
}

Result<std::vector<std::string>> fragment_names(const SysRoot& root) {
  std::vector<std::string> fragments;
  const auto names = root.list(kConfigFragments);
  if (!names && names.error().kind() == Errc::not_found) return fragments;
  if (!names) return fail(names.error());
  for (const auto& name : *names) {
    const auto path = fmt::format("{}/{}", kConfigFragments, name);
    if (name.starts_with('.')) continue;
    if (name.ends_with(".yml")) {
      return fail(Error::make(Errc::invalid, fmt::format("'{}' is not read because of its name", path))
                      .advise(fmt::format("mv {} {}/{}.yaml", path, kConfigFragments, name.substr(0, name.size() - 4)))
                      .coded("config.invalid"));
    }
    if (name.ends_with(".yaml")) fragments.push_back(path);
  }
  return fragments;
}

Error untrusted(const ConfigFile& file) {
  return Error::make(Errc::refused, fmt::format("'{}' is not to be trusted: {}", file.content.file, file.distrust))
      .advise("chown root, and chmod go-w")
      .coded("config.untrusted");
}

}  // namespace

Result<std::vector<ConfigFile>> host_config_files(const SysRoot& root) {
  std::vector<std::string> paths;
  // Also a link to nowhere: it was to count.
  if (root.exists(kConfigFile) || root.link(kConfigFile)) paths.emplace_back(kConfigFile);
  for (auto& path : TRY(fragment_names(root))) paths.push_back(std::move(path));
  if (paths.empty()) {
    return fail(Error::make(Errc::not_found, fmt::format("there is no configuration: no {}, and nothing in {}",
                                                         kConfigFile, kConfigFragments))
                    .advise(fmt::format("mkdir -p {}; pcivm export >{}", kConfigFolder, kConfigFile))
                    .coded("config.none"));
  }
  std::vector<ConfigFile> files;
  for (const auto& path : paths) {
    auto file = TRY(read_file(root.open_file(path, kFlags), path));
    if (file.distrust.empty()) file.distrust = TRY(folder_distrust(root, kConfigFolder));
    if (file.distrust.empty() && path != kConfigFile) file.distrust = TRY(folder_distrust(root, kConfigFragments));
    files.push_back(std::move(file));
  }
  return files;
}

Result<std::string> trusted_file(const SysRoot& root, std::string_view path, std::string_view folder) {
  auto file = TRY(read_file(root.open_file(path, kFlags), std::string{path}));
  if (file.distrust.empty()) file.distrust = TRY(folder_distrust(root, folder));
  if (!file.distrust.empty()) return fail(untrusted(file));
  return std::move(file.content.text);
}

Result<ConfigFile> named_config_file(const std::string& name) {
  if (name != "-") return read_file(open_path(name, kFlags), name);
  auto text = TRY_IN(read_to_end(FdRef{STDIN_FILENO}, kConfigMostBytes), std::string{"standard input"});
  return ConfigFile{{"<stdin>", std::move(text)}, {}};
}

Result<sriov::HostConfig> load_host_config(const SysRoot& root, const std::vector<std::string>& files) {
  std::vector<ConfigFile> found;
  for (const auto& name : files) found.push_back(TRY(named_config_file(name)));
  if (files.empty()) found = TRY(host_config_files(root));
  std::vector<ConfigText> texts;
  for (auto& file : found) {
    if (!file.distrust.empty()) return fail(untrusted(file));
    texts.push_back(std::move(file.content));
  }
  ConfigProblems problems;
  auto config = read_config(texts, problems);
  if (!problems.empty()) return fail(as_error(problems));
  return config;
}

}  // namespace pcivm::cli
