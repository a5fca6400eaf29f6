#include "client/report.h"

#include <fmt/format.h>

namespace penstock::client {
namespace {

// The bytes of the UTF-8 sequence at the front of `text`, 0 if there is none.
size_t utf8_bytes(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    const size_t count = first < 0x80   ? 1
                         : first < 0xC2 ? 0
                         : first < 0xE0 ? 2
                         : first < 0xF0 ? 3
                         : first < 0xF5 ? 4
                                        : 0;
    if (count == 0 || count > text.size()) return 0;
    for (size_t at = 1; at < count; ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) return 0;
    }
    const auto second = count > 1 ? static_cast<unsigned char>(text[1]) : 0;
    const bool is_overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool is_outside = (first == 0xED && second >= 0xA0) || (first == 0xF4 && second >= 0x90);
    return is_overlong || is_outside ? 0 : count;
}

std::string problem_json(const OfflineProblem& problem) {
    return fmt::format("{{\"name\":{},\"message\":{}}}", json_text(problem.name),
                       json_text(problem.message));
}

std::string numbers_json(const OfflineSummary& summary) {
    return fmt::format(
        "\"done\":{},\"failed\":{},\"bytes\":{},\"skipped\":{},\"removed\":{},\"copied\":{}",
        summary.done, summary.failed, summary.bytes, summary.skipped, summary.removed,
        summary.copied);
}

void print_text(std::string_view verb, const OfflineSummary& summary, std::FILE* stream) {
    for (const OfflineProblem& problem : summary.problems) {
        fmt::print(stream, "{}: {}\n", problem.name, problem.message);
    }
    const uint64_t unnamed = summary.failed - summary.problems.size();
    if (unnamed > 0) fmt::print(stream, "... and {} more\n", unnamed);
    fmt::print(stream, "{}: {} objects, {} bytes", verb, summary.done, summary.bytes);
    if (summary.skipped > 0) fmt::print(stream, ", {} there already", summary.skipped);
    if (summary.copied > 0) fmt::print(stream, ", {} of them copied", summary.copied);
    if (summary.removed > 0) fmt::print(stream, ", {} removed", summary.removed);
    fmt::print(stream, ", {} {}\n", summary.failed, verb == "fsck" ? "damaged" : "failed");
}

}  // namespace

std::string json_text(std::string_view text) {
    std::string result = "\"";
    while (!text.empty()) {
        const size_t count = utf8_bytes(text);
        if (count == 0) {
            result += "\\ufffd";
            text.remove_prefix(1);
            continue;
        }
        const char first = text[0];
        if (first == '"' || first == '\\') {
            result += '\\';
            result += first;
        } else if (static_cast<unsigned char>(first) < 0x20) {
            result += fmt::format("\\u{:04x}", static_cast<unsigned>(first));
        } else {
            result += text.substr(0, count);
        }
        text.remove_prefix(count);
    }
    return result + '"';
}

Exit exit_of(Errc code) {
    switch (code) {
        case Errc::not_found:
            return Exit::not_found;
        case Errc::unavailable:
        case Errc::invalid:
        case Errc::denied:
        case Errc::exists:
            return Exit::refused;
        default:
            return Exit::failed;
    }
}

Exit refuse(Output output, Exit status, std::string_view code, std::string_view text) {
    if (output == Output::text) {
        fmt::print(stderr, "penstock: {}\n", text);
    } else {
        fmt::print(stderr, "{{\"error\":{{\"code\":{},\"message\":{}}}}}\n", json_text(code),
                   json_text(text));
    }
    return status;
}

Exit refuse(Output output, const Error& error) {
    return refuse(output, exit_of(error.code), errc_name(error.code), error.context);
}

Exit print_summary(Output output, std::string_view verb, const OfflineSummary& summary,
                   std::FILE* stream) {
    switch (output) {
        case Output::text:
            print_text(verb, summary, stream);
            break;
        case Output::jsonl:
            for (const OfflineProblem& problem : summary.problems) {
                fmt::print(stream, "{}\n", problem_json(problem));
            }
            fmt::print(stream, "{{{}}}\n", numbers_json(summary));
            break;
        case Output::json:
            std::string errors;
            for (const OfflineProblem& problem : summary.problems) {
                if (!errors.empty()) errors += ',';
                errors += problem_json(problem);
            }
            fmt::print(stream, "{{{},\"errors\":[{}]}}\n", numbers_json(summary), errors);
            break;
    }
    return summary.failed > 0 ? Exit::failed : Exit::done;
}

void print_progress(std::string_view verb, const OfflineSummary& summary, bool is_terminal) {
    constexpr double bytes_in_mb = 1e6;
    fmt::print(stderr, "{}{}: {} objects, {:.1f} MB, {} {}{}", is_terminal ? "\r" : "", verb,
               summary.done + summary.skipped, static_cast<double>(summary.bytes) / bytes_in_mb,
               summary.failed, verb == "fsck" ? "damaged" : "failed", is_terminal ? "" : "\n");
}

}  // namespace penstock::client
