// client: a node's objects on the command line, by the installed client library alone.
//
//     client ADDRESS create|destroy BUCKET
//     client ADDRESS put BUCKET NAME < content
//     client ADDRESS get|share|stat|rm BUCKET NAME
//     client ADDRESS many BUCKET NAME...
//     client ADDRESS ls BUCKET [PREFIX]
//
// ADDRESS is unix:PATH, tcp://HOST:PORT or http://HOST:PORT. `share` is get by descriptor, `many` writes the objects
// one behind the other. Exit status: 0 done, 1 failed, 3 not found.
#include "client/client.h"

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int exit_failed = 1;
constexpr int exit_not_found = 3;

using penstock::Bytes;
using penstock::Errc;
using penstock::Status;
using penstock::client::Batch;
using penstock::client::BatchItem;
using penstock::client::Client;

std::string read_input() {
    std::string content;
    char room[65536];
    while (const size_t count = std::fread(room, 1, sizeof room, stdin)) {
        content.append(room, count);
    }
    return content;
}

Status write_output(Bytes bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size()) return {};
    return penstock::fail(Errc::io_error, "standard output cannot be written");
}

Status many(Client& client, const std::string& bucket, const std::vector<std::string>& names) {
    std::vector<BatchItem> items;
    for (const std::string& name : names) items.push_back({.name = name});
    Batch batch;
    TRY_STATUS(client.get_many(bucket, items, batch));
    for (const Bytes content : batch) TRY_STATUS(write_output(content));
    return {};
}

Status with_object(Client& client, const std::string& verb, const std::string& bucket,
                   const std::string& name) {
    if (verb == "put") {
        const std::string content = read_input();
        TRY(const auto stored, client.put(bucket, name, penstock::as_bytes(content)));
        std::printf("%s\n", stored.version.c_str());
        return {};
    }
    if (verb == "get") {
        TRY(const auto content, client.get(bucket, name));
        return write_output(content.bytes());
    }
    if (verb == "share") {
        TRY(const auto shared, client.get_shared(bucket, name));
        return write_output(shared.bytes());
    }
    if (verb == "stat") {
        TRY(const auto info, client.stat(bucket, name));
        std::printf("%llu %s\n", static_cast<unsigned long long>(info.size_bytes),
                    info.version.c_str());
        return {};
    }
    if (verb == "rm") return client.delete_object(bucket, name);
    return penstock::fail(Errc::invalid, "there is no such command");
}

Status run(const std::vector<std::string>& words) {
    TRY(const auto client, Client::open(words[0]));
    const std::string& verb = words[1];
    const std::string& bucket = words[2];
    const std::string name = words.size() > 3 ? words[3] : "";
    if (verb == "create") return client->create_bucket(bucket);
    if (verb == "destroy") return client->destroy_bucket(bucket);
    if (verb == "many") return many(*client, bucket, {words.begin() + 3, words.end()});
    if (verb == "ls") {
        return client->list_all(bucket, name, [](const penstock::client::ListEntry& entry) {
            std::printf("%s\n", entry.name.c_str());
            return true;
        });
    }
    return with_object(*client, verb, bucket, name);
}

}  // namespace

int main(int count, char** values) {
    const std::vector<std::string> words(values + 1, values + count);
    if (words.size() < 3) {
        std::fprintf(stderr, "usage: client ADDRESS VERB BUCKET [NAME ...]\n");
        return exit_failed;
    }
    const Status status = run(words);
    if (status) return 0;
    std::fprintf(stderr, "client: %s\n", status.error().context.c_str());
    return status.error().code == Errc::not_found ? exit_not_found : exit_failed;
}
