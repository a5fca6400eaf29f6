#include "io/base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <iterator>

#include "io/base/recent_log.h"

namespace penstock {
namespace {

constexpr std::string_view level_names[] = {"debug", "info", "warning", "error"};

// JSON's string form: quotes, backslashes and control characters escaped; bytes that are not
// ASCII pass through, as log readers take UTF-8.
void append_quoted(std::string& line, std::string_view text) {
    line.push_back('"');
    for (const char character : text) {
        const auto code = static_cast<unsigned char>(character);
        if (character == '"' || character == '\\') {
            line.push_back('\\');
            line.push_back(character);
        } else if (code < 0x20 || code == 0x7f) {
            fmt::format_to(std::back_inserter(line), "\\u{:04x}", code);
        } else {
            line.push_back(character);
        }
    }
    line.push_back('"');
}

void append_value(std::string& line, const LogField& field) {
    std::visit(
        [&line](const auto& value) {
            using Value = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<Value, std::string_view>) {
                append_quoted(line, value);
            } else {
                fmt::format_to(std::back_inserter(line), "{}", value);
            }
        },
        field.value);
}

std::string time_text() {
    const auto now =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
    const std::time_t time = std::chrono::system_clock::to_time_t(seconds);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(time), (now - seconds).count());
}

}  // namespace

Log Log::to_stderr(LogLevel level_min) {
    Log log(level_min, isatty(STDERR_FILENO) == 0, [](std::string_view line) {
        // A log that cannot be written has nowhere to say so.
        [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
    });
    log.recent_ = std::make_shared<RecentLog>();
    return log;
}

Log Log::quiet() {
    return Log(LogLevel::error, false, [](std::string_view) {});
}

Log::Log(LogLevel level_min, bool is_json, Write write)
    : level_min_(level_min), is_json_(is_json), write_(std::move(write)) {}

void Log::debug(std::string_view message, std::initializer_list<LogField> fields) const {
    line(LogLevel::debug, message, fields);
}
void Log::info(std::string_view message, std::initializer_list<LogField> fields) const {
    line(LogLevel::info, message, fields);
}
void Log::warning(std::string_view message, std::initializer_list<LogField> fields) const {
    line(LogLevel::warning, message, fields);
}
void Log::error(std::string_view message, std::initializer_list<LogField> fields) const {
    line(LogLevel::error, message, fields);
}

void Log::line(LogLevel level, std::string_view message,
               std::initializer_list<LogField> fields) const {
    if (level < level_min_) return;
    const std::string_view level_name = level_names[static_cast<size_t>(level)];
    std::string line;
    if (is_json_) {
        line = fmt::format(R"({{"time":"{}","level":"{}","message":)", time_text(), level_name);
        append_quoted(line, message);
    } else {
        line = fmt::format("{} {:7} {}", time_text(), level_name, message);
    }
    for (const LogField& field : fields) {
        if (is_json_) {
            line.push_back(',');
            append_quoted(line, field.name);
            line.push_back(':');
        } else {
            line.push_back(' ');
            line.append(field.name);
            line.push_back('=');
        }
        append_value(line, field);
    }
    line.append(is_json_ ? "}\n" : "\n");
    write_(line);
    if (recent_ != nullptr) recent_->add(level, line);
}

}  // namespace penstock
