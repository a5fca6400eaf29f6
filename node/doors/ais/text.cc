#include "node/doors/ais/text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <ctime>

namespace penstock::node::ais {
namespace {

constexpr uint64_t ns_per_second = 1'000'000'000;

constexpr std::array<const char*, 12> months = {"January",   "February", "March",    "April",
                                                "May",       "June",     "July",     "August",
                                                "September", "October",  "November", "December"};
constexpr std::array<const char*, 7> days = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                             "Thursday", "Friday", "Saturday"};

// Not gmtime_r(), which takes a lock of the C library: this is on the path of every GET.
std::tm utc_time(uint64_t wall_ns) {
    const std::chrono::sys_seconds seconds(
        std::chrono::seconds(static_cast<int64_t>(wall_ns / ns_per_second)));
    const std::chrono::sys_days day = std::chrono::floor<std::chrono::days>(seconds);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(seconds - day);
    std::tm parts{};
    parts.tm_year = static_cast<int>(date.year()) - 1900;
    parts.tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
    parts.tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
    parts.tm_wday = static_cast<int>(std::chrono::weekday(day).c_encoding());
    parts.tm_hour = static_cast<int>(time.hours().count());
    parts.tm_min = static_cast<int>(time.minutes().count());
    parts.tm_sec = static_cast<int>(time.seconds().count());
    return parts;
}

char* put_two_digits(char* to, int value) {
    to[0] = static_cast<char>('0' + value / 10 % 10);
    to[1] = static_cast<char>('0' + value % 10);
    return to + 2;
}

// The length of the UTF-8 sequence at the front of `text` (RFC 3629), 0 if it is none.
size_t utf8_length(std::string_view text) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return 1;
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
    for (size_t at = 1; at < length; ++at) {
        if ((byte(at) & 0xC0) != 0x80) return 0;
    }
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return length;
}

void append_escaped(std::string& to, char letter) {
    switch (letter) {
        case '"':
            to += "\\\"";
            return;
        case '\\':
            to += "\\\\";
            return;
        case '\n':
            to += "\\n";
            return;
        case '\r':
            to += "\\r";
            return;
        case '\t':
            to += "\\t";
            return;
        default:
            to += fmt::format("\\u{:04x}", static_cast<unsigned char>(letter));
    }
}

bool needs_care(char letter) {
    const auto byte = static_cast<unsigned char>(letter);
    return byte < 0x20 || byte >= 0x7F || letter == '"' || letter == '\\';
}

// One element of Go's reference time, and how it is written.
struct LayoutElement {
    std::string_view name;
    std::string (*format)(const std::tm& time);
};

// Longer names first where one begins like another.
constexpr LayoutElement layout_elements[] = {
    {"January", [](const std::tm& t) { return std::string(months[size_t(t.tm_mon)]); }},
    {"Jan", [](const std::tm& t) { return std::string(months[size_t(t.tm_mon)], 3); }},
    {"Monday", [](const std::tm& t) { return std::string(days[size_t(t.tm_wday)]); }},
    {"Mon", [](const std::tm& t) { return std::string(days[size_t(t.tm_wday)], 3); }},
    {"MST", [](const std::tm&) { return std::string("UTC"); }},
    {"2006", [](const std::tm& t) { return fmt::format("{:04}", t.tm_year + 1900); }},
    {"-07:00", [](const std::tm&) { return std::string("+00:00"); }},
    {"-0700", [](const std::tm&) { return std::string("+0000"); }},
    {"Z07:00", [](const std::tm&) { return std::string("Z"); }},
    {"Z0700", [](const std::tm&) { return std::string("Z"); }},
    {"01", [](const std::tm& t) { return fmt::format("{:02}", t.tm_mon + 1); }},
    {"02", [](const std::tm& t) { return fmt::format("{:02}", t.tm_mday); }},
    {"03", [](const std::tm& t) { return fmt::format("{:02}", (t.tm_hour + 11) % 12 + 1); }},
    {"04", [](const std::tm& t) { return fmt::format("{:02}", t.tm_min); }},
    {"05", [](const std::tm& t) { return fmt::format("{:02}", t.tm_sec); }},
    {"06", [](const std::tm& t) { return fmt::format("{:02}", t.tm_year % 100); }},
    {"15", [](const std::tm& t) { return fmt::format("{:02}", t.tm_hour); }},
    {"PM", [](const std::tm& t) { return std::string(t.tm_hour < 12 ? "AM" : "PM"); }},
    {"pm", [](const std::tm& t) { return std::string(t.tm_hour < 12 ? "am" : "pm"); }},
    {"_2", [](const std::tm& t) { return fmt::format("{:2}", t.tm_mday); }},
    {"1", [](const std::tm& t) { return fmt::format("{}", t.tm_mon + 1); }},
    {"2", [](const std::tm& t) { return fmt::format("{}", t.tm_mday); }},
    {"3", [](const std::tm& t) { return fmt::format("{}", (t.tm_hour + 11) % 12 + 1); }},
    {"4", [](const std::tm& t) { return fmt::format("{}", t.tm_min); }},
    {"5", [](const std::tm& t) { return fmt::format("{}", t.tm_sec); }},
};

// ".000" writes so many digits, ".999" drops zeros at the end. The number of letters taken.
size_t append_fraction(std::string& to, std::string_view layout, uint64_t wall_ns) {
    if (layout.size() < 2 || layout[0] != '.' || (layout[1] != '0' && layout[1] != '9')) return 0;
    const size_t end = std::min(layout.find_first_not_of(layout[1], 1), layout.size());
    const size_t digits = std::min<size_t>(end - 1, 9);
    std::string text = fmt::format(".{:09}", wall_ns % ns_per_second).substr(0, digits + 1);
    if (layout[1] == '9') {
        text.erase(text.find_last_not_of('0') + 1);
        if (text == ".") text.clear();
    }
    to += text;
    return end;
}

}  // namespace

void append_json_string(std::string& to, std::string_view text) {
    to += '"';
    while (!text.empty()) {
        size_t plain = 0;
        while (plain < text.size() && !needs_care(text[plain])) ++plain;
        to.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) break;

        const size_t length = utf8_length(text);
        if (length > 1) {
            to.append(text.substr(0, length));
        } else if (length == 1) {
            append_escaped(to, text[0]);
        } else {
            to += "\uFFFD";
        }
        text.remove_prefix(std::max<size_t>(length, 1));
    }
    to += '"';
}

void append_number(std::string& to, uint64_t value) {
    char digits[20];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    to.append(digits, end);
}

std::optional<uint64_t> number_from(std::string_view text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
        return std::nullopt;
    }
    return value;
}

std::optional<bool> boolean_from(std::string_view text) {
    for (const std::string_view yes : {"1", "t", "T", "true", "True", "TRUE", "y", "yes", "on"}) {
        if (text == yes) return true;
    }
    for (const std::string_view no :
         {"", "0", "f", "F", "false", "False", "FALSE", "n", "no", "off"}) {
        if (text == no) return false;
    }
    return std::nullopt;
}

std::string http_date(uint64_t wall_ns) {
    constexpr uint32_t day_s = 24 * 3600;
    const uint64_t day = wall_ns / ns_per_second / day_s;
    const auto second = static_cast<uint32_t>(wall_ns / ns_per_second % day_s);
    // Most objects that are read one after the other are of the same day.
    thread_local uint64_t known_day = UINT64_MAX;
    thread_local std::string text = "Day, 00 Mon 0000 00:00:00 GMT";
    if (day != known_day) {
        const std::tm time = utc_time(wall_ns);
        std::memcpy(text.data(), days[size_t(time.tm_wday)], 3);
        put_two_digits(text.data() + 5, time.tm_mday);
        std::memcpy(text.data() + 8, months[size_t(time.tm_mon)], 3);
        put_two_digits(text.data() + 12, (time.tm_year + 1900) / 100);
        put_two_digits(text.data() + 14, time.tm_year % 100);
        known_day = day;
    }
    put_two_digits(text.data() + 17, static_cast<int>(second / 3600));
    put_two_digits(text.data() + 20, static_cast<int>(second / 60 % 60));
    put_two_digits(text.data() + 23, static_cast<int>(second % 60));
    return text;
}

std::optional<uint64_t> seconds_from_http_date(std::string_view text) {
    constexpr size_t date_bytes = 29;  // "Mon, 23 Nov 2026 21:03:42 GMT"
    if (text.size() != date_bytes || !text.ends_with(" GMT")) return std::nullopt;
    const auto field = [&](size_t at, size_t size) { return number_from(text.substr(at, size)); };
    const auto day = field(5, 2);
    const auto year = field(12, 4);
    const auto hour = field(17, 2);
    const auto minute = field(20, 2);
    const auto second = field(23, 2);
    uint32_t month = 0;
    while (month < months.size() && text.substr(8, 3) != std::string_view(months[month], 3)) {
        ++month;
    }
    if (!day || !year || !hour || !minute || !second || month == months.size()) return std::nullopt;

    const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                           std::chrono::month(month + 1),
                                           std::chrono::day(static_cast<unsigned>(*day)));
    if (!date.ok() || *year < 1970 || *hour > 23 || *minute > 59 || *second > 60) {
        return std::nullopt;
    }
    const auto since = std::chrono::sys_days(date).time_since_epoch();
    return static_cast<uint64_t>(since.count()) * 86'400 + *hour * 3'600 + *minute * 60 + *second;
}

std::string rfc3339(uint64_t wall_ns) {
    return go_time(wall_ns, "2006-01-02T15:04:05.999999999Z07:00");
}

std::string go_time(uint64_t wall_ns, std::string_view layout) {
    const std::tm time = utc_time(wall_ns);
    std::string text;
    while (!layout.empty()) {
        size_t taken = append_fraction(text, layout, wall_ns);
        for (const LayoutElement& element : layout_elements) {
            if (taken != 0) break;
            if (!layout.starts_with(element.name)) continue;
            text += element.format(time);
            taken = element.name.size();
        }
        if (taken == 0) {
            text += layout[0];
            taken = 1;
        }
        layout.remove_prefix(taken);
    }
    return text;
}

FirstElement split_first(std::string_view path) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos) return {path, {}, false};
    return {path.substr(0, slash), path.substr(slash + 1), true};
}

}  // namespace penstock::node::ais
