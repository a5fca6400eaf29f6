#include "io/http/url.h"

namespace penstock::io::http {
namespace {

int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

std::optional<std::string> unescape(std::string_view text, bool plus_is_blank) {
    std::string plain;
    plain.reserve(text.size());
    for (size_t index = 0; index < text.size(); ++index) {
        if (text[index] == '+' && plus_is_blank) {
            plain.push_back(' ');
        } else if (text[index] != '%') {
            plain.push_back(text[index]);
        } else {
            if (index + 2 >= text.size()) return std::nullopt;
            const int high = digit_value(text[index + 1]);
            const int low = digit_value(text[index + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            plain.push_back(static_cast<char>(high << 4 | low));
            index += 2;
        }
    }
    return plain;
}

bool is_unreserved(char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '-' || character == '.' ||
           character == '_' || character == '~';
}

}  // namespace

std::optional<std::string> unescape_path(std::string_view text) {
    return unescape(text, false);
}
std::optional<std::string> unescape_query(std::string_view text) {
    return unescape(text, true);
}

std::string escape_path(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string escaped;
    escaped.reserve(text.size());
    for (const char character : text) {
        if (is_unreserved(character) || character == '/') {
            escaped.push_back(character);
            continue;
        }
        const auto code = static_cast<unsigned char>(character);
        escaped.push_back('%');
        escaped.push_back(digits[code >> 4]);
        escaped.push_back(digits[code & 15]);
    }
    return escaped;
}

std::optional<Query> Query::parse(std::string_view query) {
    Query parsed;
    while (!query.empty()) {
        const std::string_view part = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), part.size() + 1));
        if (part.empty()) continue;
        const size_t equals = part.find('=');
        std::optional<std::string> name = unescape_query(part.substr(0, equals));
        std::optional<std::string> value =
            unescape_query(equals == std::string_view::npos ? "" : part.substr(equals + 1));
        if (!name || !value) return std::nullopt;
        parsed.parameters_.emplace_back(std::move(*name), std::move(*value));
    }
    return parsed;
}

std::optional<std::string_view> Query::find(std::string_view name) const {
    for (const auto& [key, value] : parameters_) {
        if (key == name) return value;
    }
    return std::nullopt;
}

std::optional<std::string_view> Query::find_filled(std::string_view name) const {
    const std::optional<std::string_view> value = find(name);
    return value && !value->empty() ? value : std::nullopt;
}

std::optional<PathParts> split_path(std::string_view path, size_t count) {
    PathParts parts;
    const auto skip_slashes = [&path] {
        path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    };
    skip_slashes();
    while (!path.empty() && parts.elements.size() < count) {
        const std::string_view element = path.substr(0, path.find('/'));
        path.remove_prefix(element.size());
        std::optional<std::string> plain = unescape_path(element);
        if (!plain) return std::nullopt;
        parts.elements.push_back(std::move(*plain));
        skip_slashes();
    }
    // What is left keeps its slashes, but doubled ones collapse.
    std::string rest;
    rest.reserve(path.size());
    for (const char character : path) {
        if (character == '/' && !rest.empty() && rest.back() == '/') continue;
        rest.push_back(character);
    }
    std::optional<std::string> plain = unescape_path(rest);
    if (!plain) return std::nullopt;
    parts.rest = std::move(*plain);
    return parts;
}

}  // namespace penstock::io::http
