// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/reapplier.hpp"

#include <vector>

#include <gmock/gmock.h>

namespace pcivm::udev {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Bdf kPf{.bus = 1};
constexpr Bdf kOther{.bus = 2};

/// A clock that is moved by hand, and runs that end when they are told to.
class Rig {
 public:
  void event(Bdf function, std::string action = "bind", bool managed = true, std::string subsystem = "pci") {
    reapplier.on_event(
        {.action = std::move(action), .subsystem = std::move(subsystem), .function = function, .managed = managed},
        now);
  }
  /// Lets time pass, with everything that becomes due on the way.
  void pass(Reapplier::Clock::duration time) {
    const auto end = now + time;
    for (auto next = reapplier.next(); next && *next <= end; next = reapplier.next()) {
      now = std::max(now, *next);
      reapplier.on_time(now);
    }
    now = end;
  }
  void end(RunEnd how = RunEnd::done) { reapplier.ended(how, now); }

  Reapplier::Time now{seconds{1000}};
  std::vector<Target> runs;
  Reapplier::Limits limits{};
  Reapplier reapplier{[this](const Target& target) { runs.push_back(target); }, limits};
};

TEST(Reapplier, RunsForAFunctionWhoseDriverCame) {
  Rig rig;
  rig.event(kPf);
  EXPECT_THAT(rig.runs, IsEmpty());
  rig.pass(milliseconds{299});
  EXPECT_THAT(rig.runs, IsEmpty());
  rig.pass(milliseconds{1});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}));
  EXPECT_TRUE(rig.reapplier.running());
  EXPECT_EQ(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, EventsThatNothingFollowsFrom) {
  Rig rig;
  rig.event(kPf, "unbind");
  rig.event(kPf, "bind", false);
  rig.event(kPf, "offline");
  rig.reapplier.on_event({.action = "add", .subsystem = "net", .managed = true}, rig.now);  // of no function
  EXPECT_EQ(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, EventsCloseTogetherAreOneRun) {
  Rig rig;
  for (int i = 0; i < 5; ++i) {
    rig.event(kPf, i == 0 ? "bind" : "change");
    rig.pass(milliseconds{100});
  }
  EXPECT_THAT(rig.runs, IsEmpty());
  rig.pass(seconds{1});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}));
}

TEST(Reapplier, AStreamOfEventsDoesNotPutARunOffForEver) {
  Rig rig;
  for (int i = 0; i < 25; ++i) {
    rig.event(kPf, "change");
    rig.pass(milliseconds{100});
  }
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}));
}

TEST(Reapplier, OneRunAtATime) {
  Rig rig;
  rig.event(kPf);
  rig.event(kOther);
  rig.pass(seconds{10});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}));
  rig.end();
  rig.pass(milliseconds{1});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}, Target{kOther}));
}

TEST(Reapplier, EventsOfARunLeadToOneMore) {
  Rig rig;
  rig.event(kPf);
  rig.pass(seconds{1});
  for (int i = 0; i < 7; ++i) rig.event(kPf, "change");
  rig.end();
  rig.pass(seconds{5});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}, Target{kPf}));
  rig.end();
  rig.pass(seconds{600});
  EXPECT_EQ(rig.runs.size(), 2U);
}

TEST(Reapplier, WhoDoesNotComeToRestWaitsLongerEachTime) {
  Rig rig;
  rig.event(kPf);
  for (int minute = 0; minute < 30; ++minute) {
    for (int second = 0; second < 60; ++second) {
      rig.pass(seconds{1});
      if (!rig.reapplier.running()) continue;
      rig.event(kPf, "change");  // each run changes something again
      rig.end();
    }
  }
  EXPECT_LE(rig.runs.size(), 45U);  // once a minute in the end
  EXPECT_GE(rig.runs.size(), 30U);
}

TEST(Reapplier, AFlappingFunctionDoesNotHoldUpAnother) {
  Rig rig;
  for (int i = 0; i < 10; ++i) {
    rig.event(kPf, "change");
    rig.pass(seconds{60});
    rig.end();
  }
  rig.event(kPf, "change");
  rig.runs.clear();
  rig.event(kOther);
  rig.pass(milliseconds{300});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kOther}));
}

TEST(Reapplier, TriesAgainWhenSomebodyIsInTheWay) {
  Rig rig;
  rig.event(kPf);
  for (int i = 0; i < 10; ++i) {
    rig.pass(seconds{120});
    if (rig.reapplier.running()) rig.end(RunEnd::try_again);
  }
  EXPECT_EQ(rig.runs.size(), 6U);  // the first, and five more
  EXPECT_EQ(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, ANewEventCutsTheWaitForAnotherTryShort) {
  Rig rig;
  rig.event(kPf);
  rig.pass(seconds{1});
  rig.end(RunEnd::try_again);
  rig.pass(seconds{2});
  rig.end(RunEnd::try_again);  // now 4 s
  rig.event(kPf);
  rig.pass(seconds{2});
  EXPECT_EQ(rig.runs.size(), 3U);
}

TEST(Reapplier, AFailureIsNotTriedAgain) {
  Rig rig;
  rig.event(kPf);
  rig.pass(seconds{1});
  rig.end(RunEnd::failed);
  EXPECT_EQ(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, AFunctionThatWentIsForgotten) {
  Rig rig;
  rig.event(kPf);
  rig.event(kPf, "remove");
  EXPECT_EQ(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, ItsInterfaceThatWentIsNot) {
  Rig rig;
  rig.event(kPf);
  rig.event(kPf, "remove", true, "net");
  EXPECT_NE(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, LostEventsMeanEverything) {
  Rig rig;
  rig.event(kPf);
  rig.reapplier.everything(rig.now);
  rig.event(kOther);
  rig.pass(seconds{10});
  EXPECT_THAT(rig.runs, ElementsAre(Target{}));
  rig.end();
  EXPECT_EQ(rig.reapplier.next(), std::nullopt);
}

TEST(Reapplier, EverythingThatWaitsToTryAgainDoesNotSwallowEvents) {
  Rig rig;
  rig.reapplier.everything(rig.now);
  for (int tries = 0; tries < 3; ++tries) {
    rig.pass(seconds{60});
    rig.end(RunEnd::try_again);
  }
  rig.runs.clear();
  rig.event(kPf);  // the next try for all is due in 16 s
  rig.pass(seconds{1});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}));
}

TEST(Reapplier, TooManyFunctionsMeanEverything) {
  Rig rig;
  for (unsigned bus = 0; bus < 256; ++bus) {
    rig.event(Bdf{.bus = static_cast<std::uint8_t>(bus)});
    rig.event(Bdf{.domain = 1, .bus = static_cast<std::uint8_t>(bus)});
  }
  rig.pass(seconds{1});
  EXPECT_THAT(rig.runs, ElementsAre(Target{}));
}

TEST(Reapplier, ACalmFunctionIsServedAtOnceAgain) {
  Rig rig;
  for (int i = 0; i < 4; ++i) {
    rig.event(kPf);
    rig.pass(seconds{10});
    rig.end();
  }
  rig.pass(seconds{61});
  rig.runs.clear();
  rig.event(kPf);
  rig.pass(milliseconds{300});
  EXPECT_THAT(rig.runs, ElementsAre(Target{kPf}));
}

}  // namespace
}  // namespace pcivm::udev
