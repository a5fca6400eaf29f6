#include "node/doors/ais/statistics.h"

#include <fmt/format.h>

#include <vector>

#include "io/cores.h"

namespace penstock::node::ais {

// What clients call it, and which operations of ours it is.
struct Statistics::Subject {
    std::string_view name;
    std::vector<Operation> operations;
    enum class Size : uint8_t { none, sent, received } size = Size::none;
};

const Statistics::Subject Statistics::subjects[subject_count] = {
    {"get", {Operation::get, Operation::get_many, Operation::member}, Subject::Size::sent},
    {"put", {Operation::put}, Subject::Size::received},
    {"head", {Operation::head}},
    {"del", {Operation::del}},
    {"lst", {Operation::list}},
};

namespace {

// Of HTTP; MessagePack-RPC's codes begin at 1, and 0 is none.
bool is_failure(size_t door, uint16_t status) {
    if (static_cast<Door>(door) == Door::rpc) return status != 0;
    return status >= 400;
}

uint64_t since(uint64_t now, uint64_t then) {
    return now - std::min(now, then);
}

}  // namespace

io::Task<Statistics::All> Statistics::gather(const Call& call) {
    All all;
    if (!gather_) co_return all;
    const RequestMetrics sum = co_await gather_(call.core);
    for (size_t index = 0; index < subject_count; ++index) {
        Figures& figures = all[index];
        for (const Operation named : subjects[index].operations) {
            const auto operation = static_cast<size_t>(named);
            for (size_t door = 0; door < door_count; ++door) {
                for (const auto& [status, count] : sum.counts(door, operation)) {
                    (is_failure(door, status) ? figures.errors : figures.count) += count;
                }
            }
            using Size = Subject::Size;
            const Size size = subjects[index].size;
            if (size == Size::sent) figures.bytes += sum.sent_bytes(operation);
            if (size == Size::received) figures.bytes += sum.received_bytes(operation);
            figures.total_ns += sum.durations(operation).sum_ns();
        }
    }
    co_return all;
}

io::Task<Statistics::All> Statistics::remembered() {
    co_return reset_at_;
}

io::Task<void> Statistics::remember(All all, bool errors_only) {
    for (size_t index = 0; index < subject_count; ++index) {
        reset_at_[index].errors = all[index].errors;
        if (!errors_only) reset_at_[index] = all[index];
    }
    co_return;
}

io::Task<void> Statistics::reset(const Call& call, bool errors_only) {
    const All all = co_await gather(call);
    const auto there = [&] { return remember(all, errors_only); };
    co_await io::on_core(call.request.reactor, home_, there);
}

io::Task<OrderedJson> Statistics::tracker(const Call& call) {
    const auto there = [this] { return remembered(); };
    const All then = co_await io::on_core(call.request.reactor, home_, there);
    const All now = co_await gather(call);
    OrderedJson json = OrderedJson::object();
    for (size_t index = 0; index < subject_count; ++index) {
        const Subject& subject = subjects[index];
        const uint64_t count = since(now[index].count, then[index].count);
        const uint64_t errors = since(now[index].errors, then[index].errors);
        const uint64_t total_ns = since(now[index].total_ns, then[index].total_ns);
        // Counters that are 0 are left out, the others not (contract, section 4.3).
        if (count > 0) json[fmt::format("{}.n", subject.name)] = count;
        if (errors > 0) json[fmt::format("err.{}.n", subject.name)] = errors;
        json[fmt::format("{}.ns", subject.name)] = total_ns / std::max<uint64_t>(count + errors, 1);
        json[fmt::format("{}.ns.total", subject.name)] = total_ns;
        if (subject.size == Subject::Size::none) continue;
        json[fmt::format("{}.size", subject.name)] = since(now[index].bytes, then[index].bytes);
    }
    co_return json;
}

OrderedJson Statistics::kinds() {
    OrderedJson json = {{"state.flags", "gauge"}, {"up.ns.time", "special"}};
    for (const Subject& subject : subjects) {
        json[fmt::format("{}.n", subject.name)] = "counter";
        json[fmt::format("err.{}.n", subject.name)] = "counter";
        json[fmt::format("{}.ns", subject.name)] = "latency";
        json[fmt::format("{}.ns.total", subject.name)] = "total";
        if (subject.size == Subject::Size::none) continue;
        json[fmt::format("{}.size", subject.name)] = "size";
    }
    return json;
}

}  // namespace penstock::node::ais
