// SPDX-License-Identifier: GPL-2.0-or-later
// How every fallible function of pcivm reports failure: Result<T> with an Error that says what happened,
// to which object, and what the operator can do next.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pcivm {

/// What a caller may want to branch on; also decides the exit code of the command (docs: cli/exit_code).
/// Never one enumerator per call site.
enum class Errc : std::uint8_t {
  internal,     ///< a bug of ours
  invalid,      ///< usage or configuration; nothing was touched
  not_found,    ///< no such device, VM, file
  busy,         ///< in use, conflict, lock held
  refused,      ///< refused by safety policy
  denied,       ///< permission
  kernel,       ///< kernel or hardware refused
  timeout,      ///< deadline passed, or blocked in the kernel
  rolled_back,  ///< a change failed and was undone
  stranded,     ///< a change failed and so did its undo: operator needed
};

[[nodiscard]] std::string_view to_string(Errc kind);

/// Symbolic name of an errno value ("EBUSY"), or "errno 4711" for an unknown one.
[[nodiscard]] std::string errno_name(int err);

/// One failure: kind, errno (0 = none), context frames from outer to inner, optional hint.
/// Texts are lower case, without full stop, and name the value found and the value wanted.
class Error final {
 public:
  /// A failed system call. `what` names call and object: "open '/dev/vfio/42'".
  [[nodiscard]] static Error from_errno(int err, std::string what);
  [[nodiscard]] static Error make(Errc kind, std::string what);

  /// Adds an outer frame: `std::move(error).within("attach 0000:65:00.1")`.
  [[nodiscard]] Error within(std::string outer) &&;
  /// Sets the operator's next step; an existing hint is kept (the innermost knows best).
  [[nodiscard]] Error advise(std::string hint) &&;
  /// Reclassifies, for callers who know what the errno means at this place.
  [[nodiscard]] Error as(Errc kind) &&;
  /// Sets the stable identifier that `-o json` prints as error.code ("device.in_use").
  [[nodiscard]] Error coded(std::string_view code) &&;

  [[nodiscard]] Errc kind() const { return kind_; }
  [[nodiscard]] int sys_errno() const { return errno_; }
  [[nodiscard]] const std::string& hint() const { return hint_; }
  [[nodiscard]] std::string_view code() const { return code_.empty() ? to_string(kind_) : code_; }
  /// "outer: inner: what: device or resource busy (EBUSY)", without the hint.
  [[nodiscard]] std::string text() const;

 private:
  Error(Errc kind, int err, std::string what);

  Errc kind_;
  int errno_{};
  std::vector<std::string> frames_;  // innermost first
  std::string hint_;
  std::string code_;
};

template <class T = void>
using Result = std::expected<T, Error>;

/// `return fail(Errc::busy, fmt::format(...))`
[[nodiscard]] inline std::unexpected<Error> fail(Errc kind, std::string what) {
  return std::unexpected(Error::make(kind, std::move(what)));
}
[[nodiscard]] inline std::unexpected<Error> fail_errno(int err, std::string what) {
  return std::unexpected(Error::from_errno(err, std::move(what)));
}
[[nodiscard]] inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

namespace detail {
template <class T>
T take(Result<T>&& result) {
  return std::move(*result);
}
inline void take(Result<void>&& /*result*/) {}
}  // namespace detail

}  // namespace pcivm

// Yields the value or returns the error from the enclosing function. Only as a whole statement or a whole
// initialiser, never nested in a larger expression: a return from its middle would leave the rest unevaluated.
#define TRY(expression)                                                       \
  __extension__({                                                             \
    auto try_result_ = (expression);                                          \
    if (!try_result_) return std::unexpected(std::move(try_result_).error()); \
    ::pcivm::detail::take(std::move(try_result_));                            \
  })

// The same, with an outer context frame: TRY_IN(open(...), fmt::format("group {}", n))
#define TRY_IN(expression, outer)                                                           \
  __extension__({                                                                           \
    auto try_result_ = (expression);                                                        \
    if (!try_result_) return std::unexpected(std::move(try_result_).error().within(outer)); \
    ::pcivm::detail::take(std::move(try_result_));                                          \
  })
