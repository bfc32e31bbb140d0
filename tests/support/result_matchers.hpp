// SPDX-License-Identifier: GPL-2.0-or-later
// EXPECT_THAT(call(), IsOk()), IsOkAnd(matcher), FailsWith(Errc::busy), FailsWith(Errc::busy, HasSubstr("...")).
#pragma once

#include <gmock/gmock.h>

#include "base/result.hpp"

namespace pcivm::test {

MATCHER(IsOk, "is a value") {
  if (arg.has_value()) return true;
  *result_listener << "error: " << arg.error().text();
  return false;
}
MATCHER_P(IsOkAnd, inner, "is a value that matches") {
  if (!arg.has_value()) {
    *result_listener << "error: " << arg.error().text();
    return false;
  }
  return testing::ExplainMatchResult(inner, *arg, result_listener);
}
MATCHER_P(FailsWith, kind, "is an error of that kind") {
  if (arg.has_value()) {
    *result_listener << "a value";
    return false;
  }
  *result_listener << to_string(arg.error().kind()) << ": " << arg.error().text();
  return arg.error().kind() == kind;
}
MATCHER_P2(FailsWith, kind, text, "is an error of that kind and text") {
  if (arg.has_value()) {
    *result_listener << "a value";
    return false;
  }
  *result_listener << to_string(arg.error().kind()) << ": " << arg.error().text();
  return arg.error().kind() == kind && testing::ExplainMatchResult(text, arg.error().text(), result_listener);
}

}  // namespace pcivm::test
