# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated host: what it is made of, how it is started, how tests run in it."""
