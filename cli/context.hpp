// SPDX-License-Identifier: GPL-2.0-or-later
// What every command gets: the global options, the host's root, and where data and messages go. One per process, lives
// from before the arguments are read until exit; single-threaded.
#pragma once

#include <any>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/sysroot.hpp"
#include "cli/progress.hpp"

namespace pcivm::cli {

enum class Output : std::uint8_t { table, wide, json, yaml, csv, name };
enum class Color : std::uint8_t { automatic, always, never };

/// Options that every command takes, before or after its name.
struct GlobalOptions {
  Output output{Output::table};
  std::vector<std::string> columns;  ///< titles of --columns, empty = the command's own choice
  bool headers{true};
  Color color{Color::automatic};
  bool quiet{false};
  int verbosity{0};
  bool dry_run{false};
  bool yes{false};
  std::vector<std::string> force;  ///< refused checks that --force overrides (kinds of InUse, codes of reasons)
  std::string root{"/"};
  std::optional<std::chrono::seconds> timeout;
};

struct Context;
/// A command: prints its data through render.hpp and returns its exit code (0 unless it has one of its own), or the
/// error that ends it; the frame prints the error and picks the code.
using Action = std::function<Result<int>(Context&)>;

/// What a note has in the journal beside its text.
struct NoteFields {
  std::string_view message_id{};  ///< cli/message_ids.hpp
  std::string_view step{};        ///< of a plan that is carried out: "2/7"
};

struct Context {
  Context(std::FILE* data, std::FILE* messages) : out{data}, err{messages}, progress{messages} {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() = default;

  std::FILE* out;  ///< data only
  std::FILE* err;  ///< everything else
  GlobalOptions options;
  Progress progress;  ///< ended before anything else is printed on `err`
  Action action;      ///< of the command that was named; set while the arguments are read

  /// The host, or the tree of --root. Open by the time an action runs.
  [[nodiscard]] SysRoot& root() { return root_.value(); }
  void open_root(SysRoot root) { root_.emplace(std::move(root)); }

  /// Storage for the arguments of one command: CLI11 writes it, the action reads it. Lives as long as the Context.
  template <class T>
  [[nodiscard]] T& keep() {
    return kept_.emplace_back().emplace<T>();
  }

  /// True when the operator named this check with --force.
  [[nodiscard]] bool forced(std::string_view check) const;
  /// Data for stdout. A failure to write is kept for the end of the command, see write_error.
  void put(std::string_view text);
  /// errno of the first write to `out` that failed, 0 = none.
  [[nodiscard]] int write_error() const { return write_error_; }
  /// Writes out what is buffered.
  void flush();
  /// A line for the operator on stderr ("created 2 VFs"); nothing with --quiet.
  void note(std::string_view text, NoteFields fields = {});
  /// What may take long from here on ("making 7 VFs of 0000:01:00.0"): shown as progress when stderr is a terminal;
  /// not with --quiet, nor with --verbose, which tells more.
  void doing(std::string what);
  /// True when -o wants objects with keys (Listing::items, Record::object), not rows for people.
  [[nodiscard]] bool structured() const { return options.output == Output::json || options.output == Output::yaml; }
  [[nodiscard]] bool colored() const;

 private:
  std::optional<SysRoot> root_;
  int write_error_{0};
  std::deque<std::any> kept_;  // a deque keeps references valid
};

}  // namespace pcivm::cli
