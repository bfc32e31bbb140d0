// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu/bars.hpp"

#include "iommu/function_reader.hpp"
#include "iommu/inventory.hpp"

namespace pcivm::iommu {

Result<std::vector<Bar>> read_bars(const SysRoot& root, Bdf address) {
  const auto function = TRY(find(root, address));
  auto reader = TRY(FunctionReader::open(root));
  return reader.bars(function);
}

}  // namespace pcivm::iommu
