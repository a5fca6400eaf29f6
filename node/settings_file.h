// How single settings are read, from a flag or from the file. Errors are sentences without the
// setting's name, which the caller puts before them.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/cores.h"
#include "io/kernel.h"

namespace penstock::node {

template <typename T>
using Parsed = std::expected<T, std::string>;

constexpr uint32_t cores_max = 256;

// Numeric addresses, or "off" alone.
Parsed<std::vector<io::Address>> parse_http(const std::vector<std::string>& texts);
// A numeric address or "off"; a path or "off".
struct Settings;
Parsed<std::monostate> set_rpc(const std::string& text, Settings& settings);
Parsed<std::monostate> set_rpc_socket(const std::string& text, Settings& settings);
Parsed<uint32_t> parse_cores(std::string_view text);
Parsed<io::Backend> parse_backend(std::string_view text);
// "1048576", "1MiB", "1 GB": binary and decimal units.
Parsed<uint64_t> parse_size(std::string_view text);

}  // namespace penstock::node
