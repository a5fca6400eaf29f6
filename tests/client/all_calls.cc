// all_calls ADDRESS BUCKET [CA-FILE]: every call of the client, by the installed library, on a real
// node; the same cases whatever the address. The last line is "N passed, N failed".
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "client/async_client.h"
#include "client/client.h"
#include "io/reactor.h"

namespace {

using penstock::as_bytes;
using penstock::as_text;
using penstock::Errc;
using penstock::client::AsyncClient;
using penstock::client::Batch;
using penstock::client::BatchItem;
using penstock::client::Client;
using penstock::client::ListEntry;
using penstock::client::Options;

int passed = 0;
int failed = 0;

void check(bool holds, const char* what) {
    ++(holds ? passed : failed);
    if (!holds) std::printf("FAILED: %s\n", what);
}

template <typename T>
void check_fails(const T& outcome, Errc code, const char* what) {
    const bool holds = !outcome && outcome.error().code == code;
    check(holds, what);
    if (!holds && !outcome) std::printf("    %s\n", outcome.error().context.c_str());
}

template <typename T>
bool check_done(const T& outcome, const char* what) {
    check(outcome.has_value(), what);
    if (!outcome) std::printf("    %s\n", outcome.error().context.c_str());
    return outcome.has_value();
}

std::string bytes_of(size_t size, unsigned seed) {
    std::string content(size, '\0');
    for (char& one : content) {
        seed = seed * 1'664'525 + 1'013'904'223;
        one = static_cast<char>(seed >> 24);
    }
    return content;
}

// A TAR of one member.
std::string tar_of(std::string_view name, std::string_view content) {
    std::string header(512, '\0');
    const auto put = [&header](size_t at, std::string_view text) {
        header.replace(at, text.size(), text);
    };
    char size[12];
    std::snprintf(size, sizeof size, "%011zo", content.size());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, size);
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, std::string_view("ustar\00000", 8));
    unsigned sum = 0;
    for (const char one : header) sum += static_cast<unsigned char>(one);
    char check_sum[8];
    std::snprintf(check_sum, sizeof check_sum, "%06o", sum);
    put(148, std::string_view(check_sum, 7));
    std::string tar = header + std::string(content);
    tar.resize((tar.size() + 511) / 512 * 512 + 1024);
    return tar;
}

void check_buckets(Client& client, const std::string& bucket) {
    check_done(client.create_bucket(bucket), "create_bucket");
    check_fails(client.create_bucket(bucket), Errc::exists, "create_bucket again");
    check_fails(client.create_bucket("no such/bucket"), Errc::invalid, "an impossible bucket");
    const auto buckets = client.buckets();
    bool is_there = false;
    if (buckets) {
        for (const std::string& name : *buckets) is_there = is_there || name == bucket;
    }
    check(is_there, "buckets");
    check_fails(client.get("absent", "o"), Errc::not_found, "get in no bucket");
    check_fails(client.put("absent", "o", as_bytes("x")), Errc::not_found, "put in no bucket");
}

void check_reading(Client& client, const std::string& bucket, const std::string& name,
                   const std::string& content) {
    const size_t size = content.size();
    const auto whole = client.get(bucket, name);
    check(check_done(whole, "get") && whole->text() == content, "what get gives");
    struct Range {
        uint64_t offset, length;
    };
    for (const Range range : {Range{1, 2},
                              {0, 1},
                              {size - 1, 9},
                              {size, 5},
                              {size + 9, UINT64_MAX},
                              {size / 2, UINT64_MAX},
                              {3, 0},
                              {UINT64_MAX, UINT64_MAX}}) {
        const auto got = client.get(bucket, name, {.offset = range.offset, .length = range.length});
        const std::string_view expected =
            range.offset >= size ? ""
                                 : std::string_view(content).substr(range.offset, range.length);
        check(check_done(got, "get of a range") && got->text() == expected, "a range");
    }
    const auto info = client.stat(bucket, name);
    check(check_done(info, "stat") && info->size_bytes == size, "the size of stat");
}

void check_puts(Client& client, const std::string& bucket, const std::string& name, size_t size) {
    const std::string content = bytes_of(size, 7);
    const auto stored =
        client.put(bucket, name, as_bytes(content), {.metadata = {{"colour", "red = deep"}}});
    if (!check_done(stored, "put with metadata")) return;
    check(stored->size_bytes == size, "the size of put");
    check_reading(client, bucket, name, content);
    const auto info = client.stat(bucket, name);
    check(info && info->metadata.size() == 1 && info->metadata[0].first == "colour" &&
              info->metadata[0].second == "red = deep",
          "the metadata of stat");
    check(info && info->version == stored->version, "the version of stat is put's");
    check(info && info->checksum_type == stored->checksum_type &&
              info->checksum_value == stored->checksum_value && !info->checksum_value.empty(),
          "the checksum of stat is put's");
    check(info && info->modified_ns > 1'000'000'000, "modified_ns");

    check_fails(client.put(bucket, name, as_bytes(content), {.if_absent = true}),
                Errc::condition_failed, "if_absent of what is there");
    check_fails(client.put(bucket, name, as_bytes(content), {.if_version = "1-ffffff"}),
                Errc::condition_failed, "if_version of another version");
    const std::string next = bytes_of(size, 8);
    const auto replaced = client.put(bucket, name, as_bytes(next), {.if_version = stored->version});
    check_done(replaced, "if_version");
    const auto got = client.get(bucket, name);
    check(got && got->text() == next, "what was put with if_version");
    check_fails(client.delete_object(bucket, name, stored->version), Errc::condition_failed,
                "delete_object of another version");
    check_done(client.delete_object(bucket, name, replaced ? replaced->version : ""),
               "delete_object with its version");
    check_fails(client.delete_object(bucket, name), Errc::not_found, "delete_object again");
    check_fails(client.stat(bucket, name), Errc::not_found, "stat of nothing");
    check_fails(client.get(bucket, name), Errc::not_found, "get of nothing");
    check_done(client.put(bucket, name, as_bytes(content), {.if_absent = true}), "if_absent");
    check_done(client.delete_object(bucket, name), "delete_object");
}

void check_members(Client& client, const std::string& bucket) {
    const std::string member = bytes_of(1000, 3);
    check_done(client.put(bucket, "s.tar", as_bytes(tar_of("dir/a b.jpg", member))), "put a shard");
    const auto whole = client.get(bucket, "s.tar", {.member = "dir/a b.jpg"});
    check(check_done(whole, "get of a member") && whole->text() == member, "a member");
    const auto part =
        client.get(bucket, "s.tar", {.offset = 10, .length = 20, .member = "dir/a b.jpg"});
    check(part && part->text() == std::string_view(member).substr(10, 20), "a part of a member");
    const auto nothing = client.get(bucket, "s.tar", {.length = 0, .member = "dir/a b.jpg"});
    check(nothing && nothing->size() == 0, "nothing of a member");
    check_fails(client.get(bucket, "s.tar", {.member = "absent"}), Errc::not_found, "no member");
    check_fails(client.get(bucket, "s.tar", {.length = 0, .member = "absent"}), Errc::not_found,
                "nothing of no member");
}

void check_batches(Client& client, const std::string& bucket) {
    std::vector<std::string> names, contents;
    for (unsigned index = 0; index < 300; ++index) {
        names.push_back("dir/n " + std::to_string(1000 + index));
        contents.push_back(bytes_of(index * 31, index));
        if (!client.put(bucket, names.back(), as_bytes(contents.back()))) ++failed;
    }
    names.push_back("large");
    contents.push_back(bytes_of(3 << 20, 4));
    check_done(client.put(bucket, "large", as_bytes(contents.back())), "put a large one");
    std::vector<BatchItem> items(names.begin(), names.end());
    items.push_back({"s.tar", "dir/a b.jpg"});
    contents.push_back(bytes_of(1000, 3));
    for (const bool is_shared : {false, true, false}) {
        Batch batch;
        const auto got = is_shared ? client.get_many_shared(bucket, items, batch)
                                   : client.get_many(bucket, items, batch);
        bool is_right = check_done(got, "get_many") && batch.size() == items.size();
        for (size_t index = 0; is_right && index < items.size(); ++index) {
            is_right = as_text(batch[index]) == contents[index];
        }
        check(is_right, "what get_many gives");
    }
    Batch batch;
    check_done(client.get_many(bucket, {}, batch), "get_many of nothing");
    check(batch.size() == 0, "nothing");
    items[5].name = "absent";
    check_fails(client.get_many(bucket, items, batch), Errc::not_found, "get_many with nothing");

    std::vector<std::string> listed;
    check_done(client.list_all(bucket, "dir/n ",
                               [&](const ListEntry& entry) {
                                   listed.push_back(entry.name);
                                   return true;
                               }),
               "list_all");
    names.pop_back();
    check(listed == names, "what list_all gives");
    const auto page = client.list(bucket, "dir/n 1001");
    check(page && page->entries.size() == 1 && page->entries[0].size_bytes == 31 &&
              page->token.empty(),
          "a page");
    check_fails(client.list("absent"), Errc::not_found, "list of no bucket");
    check_done(client.put(bucket, "star*", as_bytes("x")), "put a name with an asterisk");
    check_done(client.put(bucket, "start", as_bytes("x")), "put a name like it");
    const auto star = client.list(bucket, "star*");
    check(star && star->entries.size() == 1, "a prefix with an asterisk");
}

penstock::io::Task<void> call_at_once(AsyncClient& client, const std::string& bucket,
                                      unsigned index, unsigned& done) {
    const std::string name = "async " + std::to_string(index);
    const std::string content = bytes_of(index * 4000, index);
    const auto put = co_await client.put(bucket, name, as_bytes(content));
    const auto got = co_await client.get(bucket, name);
    Batch batch;
    const std::vector<BatchItem> items = {{name}, {"large"}};
    const auto many = co_await client.get_many(bucket, items, batch);
    const auto removed = co_await client.delete_object(bucket, name);
    check(put && got && got->text() == content && many && as_text(batch[0]) == content &&
              batch[1].size() == 3 << 20 && removed,
          "calls on a reactor");
    ++done;
}

// The same library as coroutines: 30 tasks on 4 connections.
void check_async(const std::string& address, Options options, const std::string& bucket) {
    auto kernel = penstock::io::make_epoll_kernel({});
    if (!check_done(kernel, "a kernel")) return;
    penstock::io::Reactor reactor(std::move(*kernel), {});
    options.connections_max = 4;
    auto client = AsyncClient::open(reactor, address, options);
    if (!check_done(client, "open on a reactor")) return;
    constexpr unsigned tasks = 30;
    unsigned done = 0;
    for (unsigned index = 0; index < tasks; ++index) {
        penstock::io::start_detached(call_at_once(**client, bucket, index, done));
    }
    for (int turn = 0; done < tasks && turn < 20'000; ++turn) reactor.turn(10'000'000);
    check(done == tasks, "all calls on a reactor end");
    (*client)->close_idle();
}

void check_sharing(Client& client, const std::string& bucket, std::string_view address) {
    const auto shared = client.get_shared(bucket, "large");
    if (address.starts_with("unix:")) {
        check(check_done(shared, "get_shared") && as_text(shared->bytes()) == bytes_of(3 << 20, 4),
              "what get_shared gives");
    } else {
        const bool is_http = address.starts_with("http");
        check_fails(shared, is_http ? Errc::not_implemented : Errc::denied, "no get_shared here");
    }
}

}  // namespace

int main(int count, char** values) {
    if (count < 3) return 2;
    const std::string bucket = values[2];
    Options options;
    if (count > 3) options.ca_file = values[3];
    auto opened = Client::open(values[1], options);
    if (check_done(opened, "open")) {
        Client& client = **opened;
        check_buckets(client, bucket);
        check_puts(client, bucket, "o", 10);
        check_puts(client, bucket, "/odd//name %2F+\xff", 4000);
        check_puts(client, bucket, "large one", (1 << 20) + (1 << 19));
        check_members(client, bucket);
        check_batches(client, bucket);
        check_sharing(client, bucket, values[1]);
        check_async(values[1], options, bucket);
        client.close_idle();
        check_done(client.destroy_bucket(bucket), "destroy_bucket");
        check_fails(client.destroy_bucket(bucket), Errc::not_found, "destroy_bucket again");
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
