// SPDX-License-Identifier: GPL-2.0-or-later
#include "udev/reapplier.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace pcivm::udev {

namespace {

constexpr unsigned kMostDoublings{16};

/// What may have changed what the configuration is about: a driver came (its VFs are gone then), the PF was told of new
/// VFs, the function appeared, its interface came back from elsewhere.
bool calls_for_a_look(const Event& event) {
  constexpr std::array<std::string_view, 4> kActions{"add", "bind", "change", "move"};
  return event.managed && std::ranges::find(kActions, event.action) != kActions.end();
}

}  // namespace

std::string to_string(const Target& target) { return target ? target->to_string() : "all functions"; }

Reapplier::Reapplier(Start start) : Reapplier{std::move(start), Limits{}} {}
Reapplier::Reapplier(Start start, Limits limits) : start_{std::move(start)}, limits_{limits} {}

void Reapplier::on_event(const Event& event, Time now) {
  if (!event.function) return;
  if (event.subsystem == "pci" && event.action == "remove") {
    due_.erase(*event.function);
    past_.erase(*event.function);
  } else if (calls_for_a_look(event)) {
    note(*event.function, now);
  }
}

void Reapplier::everything(Time now) { note(std::nullopt, now); }

void Reapplier::note(const Target& target, Time now) {
  const auto all = due_.find(std::nullopt);
  if (target && all != due_.end() && all->second.at <= now + limits_.patience) return;  // is looked at with all others
  if (!target || due_.size() >= limits_.functions) {
    due_.clear();
    due_[std::nullopt] = {.first = now, .at = now + pause_after(std::nullopt, now)};
    return;
  }
  const auto at = now + pause_after(target, now);
  const auto [entry, fresh] = due_.try_emplace(target, Due{.first = now, .at = at});
  auto& due = entry->second;
  if (due.tries > 0) {
    due = {.first = now, .at = at};  // it waited to try again, and now something has changed
  } else if (!fresh) {
    due.at = std::max(due.at, std::min(at, due.first + limits_.patience));
  }
}

Reapplier::Clock::duration Reapplier::pause_after(const Target& target, Time now) const {
  const auto past = past_.find(target);
  if (past == past_.end() || now - past->second.last > limits_.calm) return limits_.quiet;
  return std::min(limits_.longest, limits_.quiet * (1U << std::min(past->second.runs, kMostDoublings)));
}

void Reapplier::ended(RunEnd end, Time now) {
  running_ = false;
  auto& past = past_[current_];
  past.runs = now - past.last > limits_.calm ? 1 : past.runs + 1;
  past.last = now;
  forget_calm(now);
  if (end != RunEnd::try_again || tries_ >= limits_.tries || due_.contains(current_)) return;
  const auto pause = std::chrono::seconds{2U << std::min(tries_, kMostDoublings)};
  due_[current_] = {.first = now, .at = now + pause, .tries = tries_ + 1};
}

void Reapplier::forget_calm(Time now) {
  std::erase_if(past_, [&](const auto& entry) { return now - entry.second.last > limits_.calm; });
}

void Reapplier::on_time(Time now) {
  if (running_) return;
  const auto entry = earliest();
  if (entry == due_.end() || entry->second.at > now) return;
  current_ = entry->first;
  tries_ = entry->second.tries;
  running_ = true;
  due_.erase(entry);
  start_(current_);
}

std::optional<Reapplier::Time> Reapplier::next() const {
  const auto entry = earliest();
  if (running_ || entry == due_.end()) return std::nullopt;
  return entry->second.at;
}

std::map<Target, Reapplier::Due>::const_iterator Reapplier::earliest() const {
  return std::ranges::min_element(due_, {}, [](const auto& entry) { return entry.second.at; });
}

}  // namespace pcivm::udev
