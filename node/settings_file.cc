#include "node/settings_file.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <variant>

#include "io/base/units.h"
#include "node/settings.h"

// Header only and without exceptions: a parse error is a value with a line number.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace penstock::node {
namespace {

std::unexpected<std::string> wrong(std::string text) {
    return std::unexpected(std::move(text));
}

// One value of the file into the settings: a sentence if it does not fit.
using Apply = std::function<Parsed<std::monostate>(const toml::node&, Settings&)>;

Parsed<std::string> text_of(const toml::node& node) {
    if (const auto text = node.value_exact<std::string>()) return *text;
    return wrong("must be a text in quotes");
}

Parsed<std::vector<std::string>> texts_of(const toml::node& node) {
    std::vector<std::string> texts;
    if (const toml::array* array = node.as_array()) {
        for (const toml::node& element : *array) {
            auto text = text_of(element);
            if (!text) return wrong("must be a text or a list of texts");
            texts.push_back(std::move(*text));
        }
        return texts;
    }
    auto text = text_of(node);
    if (!text) return wrong("must be a text or a list of texts");
    texts.push_back(std::move(*text));
    return texts;
}

Parsed<uint64_t> number_of(const toml::node& node, uint64_t least, uint64_t most) {
    uint64_t number = 0;
    if (const auto integer = node.value_exact<int64_t>()) {
        if (*integer < 0) return wrong("must not be negative");
        number = static_cast<uint64_t>(*integer);
    } else if (const auto text = node.value_exact<std::string>()) {
        const Parsed<uint64_t> size = parse_size(*text);
        if (!size) return wrong(size.error());
        number = *size;
    } else {
        return wrong("must be a number, or a size such as \"64MiB\"");
    }
    if (number < least || number > most) {
        return wrong(fmt::format("must be from {} to {}", least, most));
    }
    return number;
}

// A setting that is a number from `least` to `most`.
Apply number(std::function<void(Settings&, uint64_t)> set, uint64_t least, uint64_t most) {
    return [=](const toml::node& node, Settings& settings) -> Parsed<std::monostate> {
        const Parsed<uint64_t> value = number_of(node, least, most);
        if (!value) return wrong(value.error());
        set(settings, *value);
        return {};
    };
}

Apply text(std::function<Parsed<std::monostate>(Settings&, std::string)> set) {
    return [set](const toml::node& node, Settings& settings) -> Parsed<std::monostate> {
        Parsed<std::string> value = text_of(node);
        if (!value) return wrong(value.error());
        return set(settings, std::move(*value));
    };
}

Apply unbuilt(std::string name) {
    return [name](const toml::node& node, Settings& settings) -> Parsed<std::monostate> {
        const auto off = node.value_exact<std::string>();
        if (off != "off") settings.not_implemented.push_back(name + " is not implemented yet");
        return {};
    };
}

Parsed<std::monostate> set_data(const toml::node& node, Settings& settings) {
    auto texts = texts_of(node);
    if (!texts) return wrong(texts.error());
    settings.data = std::move(*texts);
    return {};
}

Parsed<std::monostate> set_http(const toml::node& node, Settings& settings) {
    const auto texts = texts_of(node);
    if (!texts) return wrong(texts.error());
    auto http = parse_http(*texts);
    if (!http) return wrong(http.error());
    settings.http = std::move(*http);
    return {};
}

Parsed<std::monostate> set_insecure(const toml::node& node, Settings& settings) {
    const auto value = node.value_exact<bool>();
    if (!value) return wrong("must be true or false");
    settings.is_insecure = *value;
    return {};
}

Parsed<std::monostate> set_backend(Settings& settings, const std::string& name) {
    const auto backend = parse_backend(name);
    if (!backend) return wrong(backend.error());
    settings.io_backend = *backend;
    return {};
}

Parsed<std::monostate> set_log_level(Settings& settings, const std::string& name) {
    static const std::map<std::string, LogLevel> levels = {{"debug", LogLevel::debug},
                                                           {"info", LogLevel::info},
                                                           {"warning", LogLevel::warning},
                                                           {"error", LogLevel::error}};
    const auto found = levels.find(name);
    if (found == levels.end()) return wrong("must be debug, info, warning or error");
    settings.log_level = found->second;
    return {};
}

Parsed<std::monostate> set_ready_file(Settings& settings, std::string path) {
    settings.ready_file = std::move(path);
    return {};
}

void set_seconds(uint64_t& ns, uint64_t seconds) {
    ns = seconds * ns_per_s;
}

// Every setting of the file, by section and key.
const std::map<std::string, Apply>& known_settings() {
    static const std::map<std::string, Apply> known = {
        {"data", set_data},
        {"http", set_http},
        {"rpc", text([](Settings& s, const std::string& v) { return set_rpc(v, s); })},
        {"rpc_socket",
         text([](Settings& s, const std::string& v) { return set_rpc_socket(v, s); })},
        {"bus", unbuilt("bus")},
        {"label", unbuilt("label")},
        {"insecure", set_insecure},
        {"io_backend", text(set_backend)},
        {"ready_file", text(set_ready_file)},
        {"log_level", text(set_log_level)},
        {"cores",
         number([](Settings& s, uint64_t v) { s.cores = static_cast<uint32_t>(v); }, 0, cores_max)},
        {"store.segment_bytes",
         number([](Settings& s, uint64_t v) { s.store.segment_bytes = v; }, 4_MiB, 256_MiB)},
        {"store.reserve_bytes",
         number([](Settings& s, uint64_t v) { s.store.reserve_bytes = v; }, 1_MiB, 1ULL << 50)},
        {"store.catalogue_cache_bytes",
         number([](Settings& s, uint64_t v) { s.store.catalogue_cache_bytes = v; }, 1_MiB, 64_GiB)},
        {"archive.index_cache_bytes",
         number([](Settings& s, uint64_t v) { s.archive.index_cache_bytes = v; }, 0, 64_GiB)},
        {"archive.member_bytes_max",
         number([](Settings& s, uint64_t v) { s.archive.member_bytes_max = v; }, 1, 1ULL << 50)},
        {"archive.inflate_ratio_max",
         number([](Settings& s, uint64_t v) { s.archive.inflate_ratio_max = v; }, 1, 1'000'000)},
        {"archive.members_max",
         number([](Settings& s, uint64_t v) { s.archive.members_max = v; }, 1, 16'000'000)},
        {"limits.connections_max",
         number([](Settings& s,
                   uint64_t v) { s.http_limits.connections_max = static_cast<uint32_t>(v); },
                1, 1'000'000)},
        {"limits.head_seconds",
         number([](Settings& s, uint64_t v) { set_seconds(s.http_limits.head_timeout_ns, v); }, 1,
                3600)},
        {"limits.progress_seconds",
         number([](Settings& s, uint64_t v) { set_seconds(s.http_limits.progress_timeout_ns, v); },
                1, 3600)},
        {"limits.idle_seconds",
         number([](Settings& s, uint64_t v) { set_seconds(s.http_limits.idle_timeout_ns, v); }, 1,
                86'400)},
    };
    return known;
}

class FileReader {
public:
    FileReader(std::string path, Settings& settings)
        : path_(std::move(path)), settings_(settings) {}

    std::expected<void, SettingsError> read() {
        std::ifstream file(path_);
        if (!file) return failure(0, "", "the settings file cannot be read");
        std::stringstream content;
        content << file.rdbuf();
        const toml::parse_result parsed = toml::parse(content.str());
        if (!parsed) {
            return failure(parsed.error().source().begin.line, "",
                           std::string(parsed.error().description()));
        }
        return read_table(parsed.table(), "");
    }

private:
    std::expected<void, SettingsError> read_table(const toml::table& table,
                                                  const std::string& section) {
        for (const auto& [key, value] : table) {
            const std::string name = section + std::string(key.str());
            const uint32_t line = value.source().begin.line;
            if (const toml::table* inner = value.as_table(); inner && section.empty()) {
                if (auto read = read_table(*inner, name + "."); !read) return read;
                continue;
            }
            const auto known = known_settings().find(name);
            if (known == known_settings().end())
                return failure(line, name, "there is no such setting");
            const auto applied = known->second(value, settings_);
            if (!applied) return failure(line, name, applied.error());
        }
        return {};
    }

    std::unexpected<SettingsError> failure(uint32_t line, const std::string& key,
                                           const std::string& what) const {
        std::string text = path_ + ":";
        if (line > 0) text += std::to_string(line) + ":";
        if (!key.empty()) text += " " + key + ":";
        return std::unexpected(SettingsError{text + " " + what});
    }

    std::string path_;
    Settings& settings_;
};

}  // namespace

Parsed<std::vector<io::Address>> parse_http(const std::vector<std::string>& texts) {
    std::vector<io::Address> addresses;
    if (texts.size() == 1 && texts.front() == "off") return addresses;
    for (const std::string& one : texts) {
        if (one == "off") return wrong("off stands alone");
        Result<io::Address> address = io::Address::parse(one);
        if (!address || address->is_unix()) {
            return wrong("\"" + one + "\" is no numeric ADDR:PORT such as 127.0.0.1:51080");
        }
        addresses.push_back(std::move(*address));
    }
    return addresses;
}

Parsed<std::monostate> set_rpc(const std::string& address_text, Settings& settings) {
    settings.is_rpc_chosen = true;
    settings.rpc.reset();
    if (address_text == "off") return {};
    Result<io::Address> address = io::Address::parse(address_text);
    if (!address || address->is_unix()) {
        return wrong("\"" + address_text +
                     "\" is no numeric ADDR:PORT such as 127.0.0.1:51081, and not off");
    }
    settings.rpc = std::move(*address);
    return {};
}

Parsed<std::monostate> set_rpc_socket(const std::string& path, Settings& settings) {
    settings.rpc_socket.clear();
    if (path == "off") return {};
    std::error_code error;
    const std::string absolute = std::filesystem::absolute(path, error).lexically_normal();
    if (error || path.empty() || !io::Address::parse("unix:" + absolute)) {
        return wrong("\"" + path + "\" is no path that a socket can have (107 bytes at most)");
    }
    settings.rpc_socket = absolute;
    return {};
}

Parsed<uint32_t> parse_cores(std::string_view text_of_count) {
    uint32_t count = 0;
    const char* end = text_of_count.data() + text_of_count.size();
    const auto [stopped, error] = std::from_chars(text_of_count.data(), end, count);
    if (error != std::errc() || stopped != end || count < 1 || count > cores_max) {
        return wrong(fmt::format("\"{}\" is no number from 1 to {}", text_of_count, cores_max));
    }
    return count;
}

Parsed<io::Backend> parse_backend(std::string_view name) {
    if (name == "auto") return io::Backend::automatic;
    if (name == "uring") return io::Backend::uring;
    if (name == "epoll") return io::Backend::epoll;
    return wrong(fmt::format("\"{}\" is none of auto, uring, epoll", name));
}

Parsed<uint64_t> parse_size(std::string_view size) {
    static const std::map<std::string_view, uint64_t> units = {{"", 1},
                                                               {"B", 1},
                                                               {"KiB", 1_KiB},
                                                               {"MiB", 1_MiB},
                                                               {"GiB", 1_GiB},
                                                               {"TiB", 1024_GiB},
                                                               {"KB", 1'000},
                                                               {"MB", 1'000'000},
                                                               {"GB", 1'000'000'000},
                                                               {"TB", 1'000'000'000'000}};
    uint64_t count = 0;
    const char* end = size.data() + size.size();
    const auto [stopped, error] = std::from_chars(size.data(), end, count);
    std::string_view unit(stopped, static_cast<size_t>(end - stopped));
    while (unit.starts_with(' ')) unit.remove_prefix(1);
    const auto found = units.find(unit);
    if (error != std::errc() || found == units.end() || count > UINT64_MAX / found->second) {
        return wrong(fmt::format("\"{}\" is no size such as 65536 or \"64MiB\"", size));
    }
    return count * found->second;
}

std::expected<void, SettingsError> read_settings(const std::string& path, Settings& settings) {
    return FileReader(path, settings).read();
}

}  // namespace penstock::node
