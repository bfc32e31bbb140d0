// SPDX-License-Identifier: GPL-2.0-or-later
// One 8259A programmable interrupt controller (Intel 231468-003), without lock and without cascade.
#pragma once

#include <cstdint>
#include <optional>

namespace pcivm::vmm {

/// The owner locks. Lines are 0..7.
class PicChip final {
 public:
  /// `fixed_level`: lines that are level-sensitive whatever the ELCR says (the cascade input of the master).
  /// `elcr_mask`: lines whose trigger mode software may choose.
  PicChip(std::uint8_t fixed_level, std::uint8_t elcr_mask) : fixed_level_{fixed_level}, elcr_mask_{elcr_mask} {}

  void set(unsigned line, bool asserted);
  /// The line that INT is raised for; nothing when INT is low.
  [[nodiscard]] std::optional<unsigned> pending() const;
  /// The INTA cycle for `line`; returns its vector.
  std::uint8_t acknowledge(unsigned line);
  /// The vector of an INTA cycle that finds no request: IR7, without in-service bit.
  [[nodiscard]] std::uint8_t spurious() const { return static_cast<std::uint8_t>(state_.vector_base | 7U); }

  [[nodiscard]] std::uint8_t read_command();
  [[nodiscard]] std::uint8_t read_data() const { return state_.masked; }
  void write_command(std::uint8_t value);
  void write_data(std::uint8_t value);
  [[nodiscard]] std::uint8_t elcr() const { return state_.elcr; }
  void write_elcr(std::uint8_t value);
  /// Power-on state; the levels on the inputs stay.
  void reset();

 private:
  enum class Init : std::uint8_t { done, icw2, icw3, icw4 };
  struct State {
    std::uint8_t requested{};   ///< IRR
    std::uint8_t in_service{};  ///< ISR
    std::uint8_t masked{};      ///< IMR
    std::uint8_t elcr{};
    std::uint8_t vector_base{};
    std::uint8_t lowest{7};  ///< line of lowest priority
    Init init{Init::done};
    bool single{};
    bool wants_icw4{};
    bool read_in_service{};
    bool poll{};
    bool special_mask{};
    bool auto_eoi{};
    bool rotate_on_auto_eoi{};
    bool special_fully_nested{};
  };
  [[nodiscard]] unsigned rank(unsigned line) const { return (line + 7U - state_.lowest) % 8U; }
  [[nodiscard]] std::optional<unsigned> highest(std::uint8_t lines) const;
  [[nodiscard]] std::uint8_t level_lines() const { return state_.elcr | fixed_level_; }
  void start_init(std::uint8_t icw1);
  void end_of_interrupt(std::uint8_t ocw2);

  std::uint8_t fixed_level_;
  std::uint8_t elcr_mask_;
  std::uint8_t inputs_{};
  State state_;
};

}  // namespace pcivm::vmm
