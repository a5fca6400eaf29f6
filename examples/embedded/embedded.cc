// embedded: a small object store on the command line, without a server.
//
//     embedded DIR create BUCKET
//     embedded DIR put BUCKET NAME < content
//     embedded DIR get BUCKET NAME > content
//     embedded DIR rm BUCKET NAME
//     embedded DIR ls BUCKET
//
// Exit status: 0 done, 1 failed, 3 not found.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "node/embedded.h"

namespace {

constexpr int exit_failed = 1;
constexpr int exit_not_found = 3;

using penstock::Bytes;
using penstock::Embedded;
using penstock::Errc;
using penstock::MutableBytes;
using penstock::Result;
using penstock::Status;

Status put(Embedded& store, std::string_view bucket, std::string_view name) {
    return store.put_from(bucket, name, [](MutableBytes room) -> Result<size_t> {
        const size_t count = std::fread(room.data(), 1, room.size(), stdin);
        if (count < room.size() && std::ferror(stdin)) {
            return penstock::fail(Errc::io_error, "standard input cannot be read");
        }
        return count;
    });
}

Status get(Embedded& store, std::string_view bucket, std::string_view name) {
    const Status written = store.get_into(bucket, name, [](Bytes bytes) -> Status {
        if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
        return penstock::fail(Errc::io_error, "standard output cannot be written");
    });
    if (written && std::fflush(stdout) != 0) {
        return penstock::fail(Errc::io_error, std::strerror(errno));
    }
    return written;
}

Status list(Embedded& store, std::string_view bucket) {
    return store.list(bucket, "", [](const penstock::EmbeddedObject& object) {
        std::printf("%s\n", object.name.c_str());
        return true;
    });
}

Status run(const std::vector<std::string>& words) {
    const std::string& verb = words[1];
    const bool has_name = words.size() == 4;
    const bool is_known = has_name ? verb == "put" || verb == "get" || verb == "rm"
                                   : verb == "create" || verb == "ls";
    if (!is_known) return penstock::fail(Errc::invalid, "there is no such command");

    auto store = Embedded::open({.directory = words[0]});
    if (!store) return penstock::fail(store.error());
    if (verb == "create") return (*store)->create_bucket(words[2]);
    if (verb == "ls") return list(**store, words[2]);
    if (verb == "put") return put(**store, words[2], words[3]);
    if (verb == "get") return get(**store, words[2], words[3]);
    return (*store)->remove(words[2], words[3]);
}

}  // namespace

int main(int count, char** values) {
    const std::vector<std::string> words(values + 1, values + count);
    if (words.size() != 3 && words.size() != 4) {
        std::fprintf(stderr, "usage: embedded DIR create|ls BUCKET | put|get|rm BUCKET NAME\n");
        return exit_failed;
    }
    const Status status = run(words);
    if (status) return 0;
    std::fprintf(stderr, "embedded: %s\n", status.error().context.c_str());
    return status.error().code == Errc::not_found ? exit_not_found : exit_failed;
}
