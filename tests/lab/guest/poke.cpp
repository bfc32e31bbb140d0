// SPDX-License-Identifier: GPL-2.0-or-later
// A guest that does to its device what no driver does: poke FOLDER, where FOLDER is that of an e1000e without a driver
// in /sys/bus/pci/devices. Linked statically, since guests have no libraries; needs the kernel parameter
// iomem=relaxed and two CPUs. Says "LAB-RESULT NAME=ok" for each thing tried, or what was wrong.
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kEcam = 0xe0000000;
constexpr std::uint32_t kOnes = ~0U;
// Registers of the NIC.
constexpr unsigned kCause = 0xc8;
constexpr unsigned kEnable = 0xd0;
constexpr unsigned kDisable = 0xd8;
constexpr unsigned kAddress = 0x5400;
// The vector by which Linux wakes another CPU: one that nobody sent does nothing.
constexpr std::uint16_t kMessage = 0xfd;

[[noreturn]] void die(const char* what) {
  std::printf("LAB-RESULT error=%s\n", what);
  std::exit(EXIT_FAILURE);
}

/// Guest physical memory, to be read and written in any size.
class Window {
 public:
  Window(std::uint64_t address, std::size_t length) {
    static const int file = ::open("/dev/mem", O_RDWR | O_SYNC);
    void* const at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(address));
    if (at == MAP_FAILED) die("mmap");
    base_ = static_cast<std::byte*>(at);
    length_ = length;
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window() { ::munmap(base_, length_); }

  template <class T>
  T get(std::size_t offset) const {
    return *reinterpret_cast<volatile T*>(base_ + offset);
  }
  template <class T>
  void put(std::size_t offset, T value) const {
    *reinterpret_cast<volatile T*>(base_ + offset) = value;
  }
  /// One access of 16 bytes.
  std::array<std::uint64_t, 2> get16(std::size_t offset) const {
    std::array<std::uint64_t, 2> value{};
    asm volatile("movdqu (%1), %%xmm0; movdqu %%xmm0, (%0)"
                 :
                 : "r"(value.data()), "r"(base_ + offset)
                 : "xmm0", "memory");
    return value;
  }
  void put16(std::size_t offset, std::uint64_t value) const {
    const std::array<std::uint64_t, 2> twice{value, value};
    asm volatile("movdqu (%0), %%xmm0; movdqu %%xmm0, (%1)"
                 :
                 : "r"(twice.data()), "r"(base_ + offset)
                 : "xmm0", "memory");
  }

 private:
  std::byte* base_{};
  std::size_t length_{};
};

class Device {
 public:
  explicit Device(unsigned devfn) : config{kEcam + devfn * 0x1000ULL, 0x1000} {
    power = find(PCI_CAP_ID_PM);
    msi = find(PCI_CAP_ID_MSI);
    msix = find(PCI_CAP_ID_MSIX);
    for (unsigned bar = 0; bar < bars.size(); ++bar) bars[bar] = config.get<std::uint32_t>(bar_register(bar));
    if (power == 0 || msi == 0 || msix == 0) die("capabilities");
  }
  static unsigned bar_register(unsigned bar) { return PCI_BASE_ADDRESS_0 + 4 * bar; }
  void command(unsigned value) const { config.put<std::uint16_t>(PCI_COMMAND, static_cast<std::uint16_t>(value)); }
  void state(unsigned value) const {
    config.put<std::uint16_t>(power + PCI_PM_CTRL, static_cast<std::uint16_t>(value));
  }
  void place(unsigned bar, std::uint32_t value) const { config.put(bar_register(bar), value); }
  void msix_control(unsigned value) const {
    config.put<std::uint16_t>(msix + PCI_MSIX_FLAGS, static_cast<std::uint16_t>(value));
  }

  Window config;
  unsigned power{};
  unsigned msi{};
  unsigned msix{};
  std::array<std::uint32_t, 6> bars{};

 private:
  [[nodiscard]] unsigned find(unsigned id) const {
    unsigned at = config.get<std::uint8_t>(PCI_CAPABILITY_LIST);
    for (unsigned hop = 0; at != 0 && hop < 48; ++hop, at = config.get<std::uint8_t>(at + 1)) {
      if (config.get<std::uint8_t>(at) == id) return at;
    }
    return 0;
  }
};

/// Says how it went; `wrong` is empty when all is well.
void tell(const char* name, const std::string& wrong) {
  std::printf("LAB-RESULT %s=%s\n", name, wrong.empty() ? "ok" : wrong.c_str());
  std::fflush(stdout);
}

class Poke {
 public:
  explicit Poke(const Device& device) : device_{device} {}

  void run() {
    device_.state(0);
    device_.command(kOn);
    identity_ = registers_.get<std::uint32_t>(kAddress);
    if (identity_ == 0 || identity_ == kOnes) die("device does not answer");
    tell("table", table());
    tell("fields", fields());
    tell("ports", ports());
    tell("places", places());
    tell("together", together());
    tell("power", power());
    tell("decode", decode());
    std::printf("LAB-RESULT before-toggles=1\n");
    toggle();
    tell("kinds", kinds());
    off();
  }

 private:
  static constexpr unsigned kOn = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;

  [[nodiscard]] bool alive() const { return registers_.get<std::uint32_t>(kAddress) == identity_; }
  [[nodiscard]] std::uint64_t table_address() const {
    const auto where = device_.config.get<std::uint32_t>(device_.msix + PCI_MSIX_TABLE);
    return (device_.bars.at(where & PCI_MSIX_TABLE_BIR) & ~0xfU) + (where & PCI_MSIX_TABLE_OFFSET);
  }

  /// Reads and writes of MSI-X table and pending bits that no driver makes.
  std::string table() const {
    const Window table{table_address(), 0x1000};
    table.put<std::uint32_t>(8, 0x1234);
    if (table.get<std::uint32_t>(8) != 0x1234) return "no-table";
    for (unsigned offset = 0; offset < 0x40; ++offset) {
      if (table.get<std::uint8_t>(offset) != 0xff || table.get<std::uint16_t>(offset) != 0xffff) return "small-read";
      table.put<std::uint8_t>(offset, 0);
      table.put<std::uint16_t>(offset, 0);
      if (offset % 4 != 0 && table.get<std::uint32_t>(offset) != kOnes) return "odd-read";
      if (offset % 4 != 0) table.put<std::uint32_t>(offset, 0);
    }
    if (table.get<std::uint64_t>(4) != ~0ULL) return "odd-long-read";
    // KVM makes two accesses of 8 of it, which are fine.
    (void)table.get16(0);
    table.put16(16, 0);
    table.put<std::uint32_t>(28, 1);
    if (table.get<std::uint32_t>(8) != 0x1234) return "written-by-an-odd-write";
    for (unsigned offset = 0x50; offset < 0x1000; offset += 4) {
      (void)table.get<std::uint32_t>(offset);
      table.put<std::uint32_t>(offset, kOnes);
    }
    table.put<std::uint32_t>(8, 0);
    return alive() ? "" : "device-gone";
  }

  /// Writes that span fields: each is filtered by its own rule.
  std::string fields() const {
    const auto& config = device_.config;
    const auto where = config.get<std::uint64_t>(device_.msix + PCI_MSIX_TABLE);
    const auto list = config.get<std::uint8_t>(PCI_CAPABILITY_LIST);
    const auto pin = config.get<std::uint8_t>(PCI_INTERRUPT_PIN);
    config.put<std::uint32_t>(device_.msix, 0x3fffffffU);
    config.put<std::uint64_t>(device_.msix + 4, ~0ULL);
    config.put<std::uint64_t>(PCI_CAPABILITY_LIST, ~0ULL);
    config.put<std::uint64_t>(PCI_ROM_ADDRESS, ~0ULL);
    config.put<std::uint16_t>(PCI_INTERRUPT_PIN, 0xffff);
    config.put<std::uint32_t>(device_.power + 2, kOnes);
    if (config.get<std::uint64_t>(device_.msix + PCI_MSIX_TABLE) != where) return "table-moved";
    if (config.get<std::uint8_t>(PCI_CAPABILITY_LIST) != list) return "list-moved";
    if (config.get<std::uint8_t>(PCI_INTERRUPT_PIN) != pin) return "pin";
    if (config.get<std::uint16_t>(3) != 0xffff) return "a-read-across-dwords";
    device_.msix_control(0);
    return alive() ? "" : "device-gone";
  }

  /// Mechanism 1 in sizes that it does not have; ECAM in 16 bytes.
  std::string ports() const {
    if (::iopl(3) != 0) return "iopl";
    constexpr std::uint32_t kNobody = 0x8000f800;
    outl(kNobody, 0xcf8);
    outw(0xffff, 0xcfa);
    outb(0xff, 0xcfb);
    outw(0xffff, 0xcf8);
    if (inl(0xcf8) != kNobody) return "address";
    if (inb(0xcf8) != 0xff || inw(0xcfa) != 0xffff) return "small-read";
    if (inl(0xcfc) != kOnes || inw(0xcfd) != 0xffff || inl(0xcfe) != kOnes) return "nobody";
    outl(0, 0xcfd);
    outl(0, 0xcf8);
    if (inl(0xcfc) != kOnes) return "not-enabled";
    (void)device_.config.get16(0);
    device_.config.put16(0x400, ~0ULL);
    return device_.config.get<std::uint16_t>(PCI_VENDOR_ID) == 0x8086 ? "" : "vendor";
  }

  /// A BAR over everything that is something else, while it is decoded; each time it comes back.
  std::string places() const {
    const auto home = device_.bars[0];
    for (const std::uint32_t address : {0U, kOnes, 0x00100000U, 0x08000000U, 0xfee00000U, 0xfec00000U,
                                        static_cast<std::uint32_t>(kEcam), device_.bars[1], device_.bars[3]}) {
      device_.place(0, address);
      if (registers_.get<std::uint32_t>(kAddress) != kOnes) return "still-at-home";
      if (device_.config.get<std::uint16_t>(PCI_VENDOR_ID) != 0x8086) return "configuration-space-gone";
      device_.place(0, home);
      if (!alive()) return "not-back";
    }
    return "";
  }

  /// Two BARs change places while decode is off: at once when it is on, none before.
  std::string together() const {
    const Window there{device_.bars[1] & ~0xfU, 0x10000};
    device_.command(0);
    device_.place(0, device_.bars[1]);
    device_.place(1, device_.bars[0]);
    if (there.get<std::uint32_t>(kAddress) != kOnes) return "decoded-while-off";
    device_.command(kOn);
    if (there.get<std::uint32_t>(kAddress) != identity_) return "not-moved";
    device_.command(0);
    device_.place(0, device_.bars[0]);
    device_.place(1, device_.bars[1]);
    device_.command(kOn);
    return alive() ? "" : "not-back";
  }

  /// Runs `change` while another CPU uses the device, which answers or is not there.
  std::string beside(const std::function<void()>& change) const {
    // KVM copies byte by byte when it emulates an access that found the BAR away and finds it back, and this device
    // answers each with the first.
    const auto in_bytes = (identity_ & 0xffU) * 0x01010101U;
    std::atomic<bool> end{false};
    std::atomic<unsigned> answers{0};
    std::atomic<std::uint32_t> strange{0};
    std::thread other{[&] {
      while (!end) {
        const auto value = registers_.get<std::uint32_t>(kAddress);
        if (value == identity_) ++answers;
        if (value != identity_ && value != kOnes && value != 0 && value != in_bytes) strange = value;
        registers_.put<std::uint32_t>(kDisable, kOnes);
      }
    }};
    change();
    end = true;
    other.join();
    std::array<char, 64> text{};
    (void)std::snprintf(text.data(), text.size(), "answer-%#x-not-%#x", strange.load(), identity_);
    if (strange != 0) return text.data();
    if (answers == 0) return "never-an-answer";
    return alive() ? "" : "device-gone";
  }
  std::string power() const {
    device_.state(3);
    if (registers_.get<std::uint32_t>(kAddress) != kOnes) return "answers-in-D3";
    registers_.put<std::uint32_t>(kAddress, 0);
    device_.state(0);
    if (!alive()) return "not-back";
    return beside([&] {
      for (unsigned round = 0; round < 20; ++round) {
        device_.state(3);
        device_.state(3);
        device_.state(0);
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
      }
    });
  }
  std::string decode() const {
    return beside([&] {
      for (unsigned round = 0; round < 300; ++round) {
        device_.command(kOn & ~static_cast<unsigned>(PCI_COMMAND_MEMORY));
        device_.command(kOn);
      }
    });
  }

  /// Enable and both masks for some seconds, with a vector in use.
  void toggle() const {
    const Window table{table_address(), 0x1000};
    table.put<std::uint32_t>(0, 0xfee00000);
    table.put<std::uint32_t>(4, 0);
    table.put<std::uint32_t>(8, kMessage);
    unsigned count = 0;
    for (const auto end = Clock::now() + std::chrono::seconds{8}; Clock::now() < end; ++count) {
      device_.msix_control(PCI_MSIX_FLAGS_ENABLE);
      for (unsigned round = 0; round < 8; ++round) {
        table.put<std::uint32_t>(12, 0);
        device_.msix_control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
        device_.msix_control(PCI_MSIX_FLAGS_ENABLE);
        table.put<std::uint32_t>(12, 1);
      }
      device_.msix_control(0);
    }
    std::printf("LAB-RESULT toggles=%u\n", count * 34);
  }

  /// MSI, MSI-X and neither in turn with interrupts coming, while another CPU turns INTx off and on.
  std::string kinds() const {
    const auto& config = device_.config;
    const Window table{table_address(), 0x1000};
    config.put<std::uint32_t>(device_.msi + PCI_MSI_ADDRESS_LO, 0xfee00000);
    config.put<std::uint32_t>(device_.msi + PCI_MSI_ADDRESS_HI, 0);
    config.put<std::uint16_t>(device_.msi + PCI_MSI_DATA_64, kMessage);
    table.put<std::uint32_t>(12, 0);
    std::atomic<bool> end{false};
    std::thread other{[&] {
      while (!end) {
        device_.command(kOn & ~static_cast<unsigned>(PCI_COMMAND_INTX_DISABLE));
        device_.command(kOn);
      }
    }};
    registers_.put<std::uint32_t>(kEnable, kOnes);
    for (const auto finish = Clock::now() + std::chrono::seconds{3}; Clock::now() < finish;) {
      registers_.put<std::uint32_t>(kCause, 4);
      config.put<std::uint16_t>(device_.msi + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
      registers_.put<std::uint32_t>(kCause, 4);
      device_.msix_control(PCI_MSIX_FLAGS_ENABLE);  // both at once
      config.put<std::uint16_t>(device_.msi + PCI_MSI_FLAGS, 0);
      registers_.put<std::uint32_t>(kCause, 4);
      device_.msix_control(0);
    }
    registers_.put<std::uint32_t>(kDisable, kOnes);
    end = true;
    other.join();
    table.put<std::uint32_t>(12, 1);
    return alive() ? "" : "device-gone";
  }

  /// Everything off, for the host to look at the device meanwhile.
  void off() const {
    device_.command(0);
    std::printf("LAB-RESULT off=1\n");
    std::fflush(stdout);
    std::this_thread::sleep_for(std::chrono::seconds{4});
    device_.command(kOn);
    tell("after", alive() ? "" : "device-gone");
  }

  const Device& device_;
  Window registers_{device_.bars[0] & ~0xfU, 0x10000};
  std::uint32_t identity_{};
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const std::string folder = arguments[1];
  const auto name = folder.substr(folder.rfind('/') + 1);  // 0000:00:01.0
  unsigned device = 0;
  unsigned function = 0;
  if (std::sscanf(name.c_str(), "%*x:%*x:%x.%u", &device, &function) != 2) die("address");
  const Device target{device * 8 + function};
  Poke{target}.run();
}
