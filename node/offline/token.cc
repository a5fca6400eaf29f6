// A new access token: its text for whoever is to have it, its hash for the list.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "io/descriptor.h"
#include "node/offline.h"
#include "node/service/access.h"

namespace penstock {
namespace {

// Found by whoever searches sources and logs for secrets.
constexpr std::string_view token_prefix = "penstock_";

Result<std::string> draw_token() {
    std::array<std::byte, 32> bits;
    if (getrandom(bits.data(), bits.size(), 0) != static_cast<ssize_t>(bits.size())) {
        return fail(error_from_errno(errno, "getrandom", "a token"));
    }
    return std::string(token_prefix) + hex_from_bytes(bits);
}

Result<std::string> read_list(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return std::string();
    std::ifstream file(path, std::ios::binary);
    std::stringstream content;
    if (file.peek() != std::ifstream::traits_type::eof()) content << file.rdbuf();
    if (!file.is_open() || file.bad()) return fail(Errc::io_error, "read " + path);
    return content.str();
}

// One write at the end: two at once leave two whole lines.
Status append_line(const std::string& path, const std::string& line) {
    const io::Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!file.is_open()) return fail(error_from_errno(errno, "open", path));
    if (write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        return fail(error_from_errno(errno, "write", path));
    }
    if (fsync(file.get()) != 0) return fail(error_from_errno(errno, "fsync", path));
    return {};
}

}  // namespace

Result<std::string> add_access_token(const NewAccessToken& wanted) {
    TRY(const std::string text, read_list(wanted.file));
    const auto list = node::AccessList::parse(text);
    if (!list) return fail(Errc::invalid, wanted.file + ":" + list.error());
    if (std::ranges::find(list->tokens(), wanted.name, &node::AccessToken::name) !=
        list->tokens().end()) {
        return fail(Errc::exists, "the list has a token named " + wanted.name);
    }
    const auto role = node::role_from(wanted.role);
    if (!role) return fail(Errc::invalid, "the role is none of read, read-write, admin");
    TRY(const std::string token, draw_token());
    const node::AccessToken entry{wanted.name, *role, wanted.buckets.empty(), wanted.buckets,
                                  node::hash_of_token(token)};
    std::string line = node::line_of(entry) + "\n";
    // As the node will read it, or not at all.
    if (const auto read = node::AccessList::parse(line); !read || read->tokens().size() != 1) {
        return fail(Errc::invalid, read ? "the name begins a comment" : read.error());
    }
    if (!text.empty() && !text.ends_with('\n')) line.insert(0, 1, '\n');
    TRY_STATUS(append_line(wanted.file, line));
    return token;
}

}  // namespace penstock
