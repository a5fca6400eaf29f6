// Log lines: structured, to standard error, text on a terminal and one line of JSON each elsewhere.
// `main` makes the one Log and hands it down; a library or a test hands in a quiet one.
// Secrets never go in: log names and sizes, not credentials or bodies.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

namespace penstock {

class RecentLog;

enum class LogLevel : uint8_t { debug, info, warning, error };

// One named value of a line.
struct LogField {
    std::string_view name;
    std::variant<std::string_view, int64_t, uint64_t, double, bool> value;
};

// Can be written to from every core: a line is one write.
class Log {
public:
    using Write = std::function<void(std::string_view line)>;  // line ends with '\n'

    // To standard error; text if it is a terminal, JSON lines otherwise. Keeps the last lines.
    static Log to_stderr(LogLevel level_min);
    // Drops everything.
    static Log quiet();
    Log(LogLevel level_min, bool is_json, Write write);

    // The last lines; null: none are kept. For whoever has the Log, and no longer.
    RecentLog* recent() const { return recent_.get(); }

    void debug(std::string_view message, std::initializer_list<LogField> fields = {}) const;
    void info(std::string_view message, std::initializer_list<LogField> fields = {}) const;
    void warning(std::string_view message, std::initializer_list<LogField> fields = {}) const;
    void error(std::string_view message, std::initializer_list<LogField> fields = {}) const;

private:
    void line(LogLevel level, std::string_view message,
              std::initializer_list<LogField> fields) const;

    LogLevel level_min_;
    bool is_json_;
    Write write_;
    std::shared_ptr<RecentLog> recent_;
};

}  // namespace penstock
