// Parts of the node: who owns a name, a record as it is made and checked, the log on a disk in
// memory, and a MessagePack-RPC request.
#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/memory_disk.h"
#include "io/pool.h"
#include "io/reactor.h"
#include "io/wait.h"
#include "node/doors/rpc/message.h"
#include "node/service/placement.h"
#include "node/store/log.h"
#include "node/store/record.h"

namespace penstock::node {
namespace {

void owner_of_a_name(benchmark::State& state) {
    std::vector<std::string> targets;
    for (int64_t index = 0; index < state.range(0); ++index) {
        targets.push_back("target" + std::to_string(index));
    }
    const Placement placement(std::move(targets));
    const BucketName bucket{.name = "train"};
    for (auto step : state) {
        benchmark::DoNotOptimize(placement.owner_of(bucket, "images/000017.jpg"));
    }
}
BENCHMARK(owner_of_a_name)->Arg(1)->Arg(16)->Arg(128);

RecordDraft draft_for(const std::vector<std::byte>& content) {
    RecordDraft draft;
    draft.bucket = {1};
    draft.bucket_label = "train";
    draft.object = "images/000017.jpg";
    draft.digest = {1, 2};
    draft.content_bytes = content.size();
    draft.payload = content;
    draft.payload_crc = crc32c(content);
    return draft;
}

void record_made(benchmark::State& state) {
    const std::vector<std::byte> content(static_cast<size_t>(state.range(0)));
    const RecordDraft draft = draft_for(content);
    std::vector<std::byte> bytes(record_bytes(draft));
    for (auto step : state) build_record(draft, RecordStamp{}, bytes);
}
BENCHMARK(record_made)->Arg(1 << 10)->Arg(64 << 10);

void record_checked(benchmark::State& state) {
    const std::vector<std::byte> content(static_cast<size_t>(state.range(0)));
    const RecordDraft draft = draft_for(content);
    std::vector<std::byte> bytes(record_bytes(draft));
    RecordStamp stamp;
    stamp.lsn = lsn_at(1, 1);
    build_record(draft, stamp, bytes);
    for (auto step : state) {
        const std::optional<RecordHeader> header = parse_record_header(bytes);
        if (!header || !checked_payload(header->head, bytes)) state.SkipWithError("not a record");
    }
}
BENCHMARK(record_checked)->Arg(1 << 10)->Arg(64 << 10);

// 32 writers of 4 KiB, each of which waits for its record: what group commit costs without a disk.
void log_append(benchmark::State& state) {
    constexpr uint32_t writers = 32;
    auto kernel = io::make_epoll_kernel({});
    io::Reactor reactor(std::move(*kernel), {});
    const auto pool = io::make_inline_pool();
    io::BufferPool buffers(64 << 20);
    const io::MemoryStorage storage;
    const auto disk = storage.make_disk(reactor, *pool);
    (void)reactor.run_until_done(disk->make_directory("log"));
    Space space(*disk, 0);
    const Log silent = Log::quiet();
    LogOptions options;
    options.segment_bytes = segment_bytes_max;
    RecordLog log(
        *disk, buffers, space, options, [](const RecordHeader&, const Place&, const Place&) {},
        silent);
    if (!reactor.run_until_done(log.start({}, {}))) return state.SkipWithError("no log");
    const std::vector<std::byte> content(4096);
    const RecordDraft draft = draft_for(content);
    struct Round {
        io::Event done;
        uint32_t left;
    };
    const auto write = [](RecordLog& to, const RecordDraft& what, Round& round) -> io::Task<void> {
        (void)co_await to.prepare(what, Durability::group, false);
        if (--round.left == 0) round.done.set();
    };
    for (auto step : state) {
        Round round{io::Event(reactor), writers};
        for (uint32_t index = 0; index < writers; ++index) {
            io::start_detached(write(log, draft, round));
        }
        while (round.left > 0) reactor.turn(0);
    }
    state.SetItemsProcessed(state.iterations() * writers);
    reactor.run_until_done(log.stop());
}
BENCHMARK(log_append)->Iterations(2000);

// object.get, and object.get_many of 256.
std::string request_of(size_t items) {
    using nlohmann::json;
    const json item = {{"bucket", "train"}, {"name", "images/000017.jpg"}};
    json message = {0, 17, "object.get", json::array({item})};
    if (items > 1) {
        message = {0, 17, "object.get_many", json::array({{{"items", std::vector(items, item)}}})};
    }
    std::string text;
    json::to_msgpack(message, text);
    return text;
}

void rpc_request(benchmark::State& state) {
    const std::string text = request_of(static_cast<size_t>(state.range(0)));
    rpc::Message message;
    for (auto step : state) {
        rpc::Framer framer;
        if (framer.look(as_bytes(text)) != rpc::Framer::State::whole ||
            message.parse(as_bytes(text)) != rpc::Message::Parsed::good) {
            state.SkipWithError("not a message");
        }
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(rpc_request)->Arg(1)->Arg(256);

}  // namespace
}  // namespace penstock::node

BENCHMARK_MAIN();
