// URLs as AIStore's clients write them (contract, section 1.3).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::io::http {

// Percent escapes undone exactly once; nullopt for a broken one ("%", "%4", "%zz"). In a query,
// '+' is a blank.
std::optional<std::string> unescape_path(std::string_view text);
std::optional<std::string> unescape_query(std::string_view text);
// Everything but unreserved characters and '/' escaped, as clients' `quote` does.
std::string escape_path(std::string_view text);

// The query's parameters in order, names and values unescaped; nullopt for a broken escape.
class Query {
public:
    static std::optional<Query> parse(std::string_view query);
    // The first value of this name; nullopt if it is absent.
    std::optional<std::string_view> find(std::string_view name) const;
    // The same, but an empty value counts as absent: clients send `archpath=` when they mean none.
    std::optional<std::string_view> find_filled(std::string_view name) const;
    const std::vector<std::pair<std::string, std::string>>& parameters() const {
        return parameters_;
    }

private:
    std::vector<std::pair<std::string, std::string>> parameters_;
};

// The first `count` elements of an absolute path, unescaped, doubled slashes collapsed, and in
// `rest` everything behind them, unescaped with its slashes kept ("" if there is none). Fewer
// elements than `count` are fine. nullopt for a broken escape.
struct PathParts {
    std::vector<std::string> elements;
    std::string rest;
};
std::optional<PathParts> split_path(std::string_view path, size_t count);

}  // namespace penstock::io::http
