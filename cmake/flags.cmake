# SPDX-License-Identifier: GPL-2.0-or-later
# Warnings are errors; hardening as Debian's hardening=+all, plus libstdc++ assertions; sanitizers on request.
add_library(pcivm_flags INTERFACE)
target_compile_options(pcivm_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wsuggest-override
  -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wextra-semi -Wimplicit-fallthrough -Wundef -Wunused)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(pcivm_flags INTERFACE -Wduplicated-cond -Wlogical-op -Wzero-as-null-pointer-constant)
else()
  # TRY is a statement expression behind __extension__, which clang reports all the same; and libstdc++ 12 uses what it
  # calls deprecated itself (stable_sort). Kernel headers end structures with arrays of no length.
  target_compile_options(pcivm_flags INTERFACE -Wthread-safety -Wno-gnu-statement-expression -Wno-deprecated-declarations -Wno-zero-length-array)
endif()

add_compile_options(-fstack-protector-strong -fcf-protection)
add_compile_definitions(_GLIBCXX_ASSERTIONS)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()
add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)

if(PCIVM_SANITIZE)
  add_compile_options(-fsanitize=${PCIVM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PCIVM_SANITIZE})
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
  add_compile_options(-U_FORTIFY_SOURCE)
  add_compile_definitions(_FORTIFY_SOURCE=2)
endif()
