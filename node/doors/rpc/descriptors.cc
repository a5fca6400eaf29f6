// What is handed over as a descriptor instead of bytes: a large object's own file, verified whole
// and opened anew for reading alone; everything else copied into sealed memory.
#include <fmt/format.h>

#include "io/memory_file.h"
#include "node/doors/rpc/calls.h"

namespace penstock::node::rpc {
namespace {

struct Handed {
    io::Descriptor descriptor;
    uint64_t file_bytes = 0;
    uint64_t offset = 0;  // of what was asked for, in the file
    uint64_t length = 0;
    std::shared_ptr<const void> kept;
    uint64_t memory_bytes = 0;
};

void answer(Call& call, Handed handed) {
    const auto lease = call.leases().add(std::move(handed.kept), handed.memory_bytes);
    if (!lease) {
        return call.fail(Code::busy, "too much is leased: release some with lease.release");
    }
    call.count_sent(handed.length);
    Writer writer = call.reply_with(std::move(handed.descriptor));
    writer.map(4);
    writer.pair("fd", uint64_t{0});
    writer.pair("size", handed.file_bytes);
    writer.text("entries");
    writer.array(1);
    writer.map(3);
    writer.pair("index", uint64_t{0});
    writer.pair("offset", handed.offset);
    writer.pair("length", handed.length);
    writer.pair("lease", *lease);
}

Result<Handed> hand_file(OpenedObject& object, ReadRange range) {
    const io::FileRange& file = object.body.file_range();
    Handed handed;
    TRY(handed.descriptor, io::reopen_for_reading(file.descriptor));
    handed.file_bytes = file.size;
    handed.offset = std::min(range.offset, file.size);
    handed.length = std::min(range.size, file.size - handed.offset);
    handed.kept = file.keeps_open;
    return handed;
}

io::Task<Result<Handed>> hand_memory(Call& call, OpenedObject opened) {
    Context& context = call.context();
    CO_TRY(io::MemoryFile memory, io::MemoryFile::create("penstock-object"));
    const auto source = opened.body.into_source(context.reactor, context.buffers);
    for (;;) {
        CO_TRY(const io::Chunk chunk, co_await source->next());
        if (chunk.is_empty()) break;
        CO_TRY_STATUS(memory.append(chunk.bytes()));
    }
    if (memory.size_bytes() != opened.range.size) {
        co_return fail(Errc::corrupt, "the object ended early");
    }
    Handed handed;
    handed.file_bytes = handed.length = handed.memory_bytes = memory.size_bytes();
    CO_TRY(handed.descriptor, memory.seal());
    co_return handed;
}

}  // namespace

std::optional<bool> wants_descriptor(Call& call) {
    const std::string_view as = call.arguments().text(Name::as, "bin");
    if (as == "bin") return false;
    if (as != "fd") {
        call.fail(Code::invalid, "\"as\" must be \"bin\" or \"fd\"");
        return std::nullopt;
    }
    if (!call.passes_descriptors()) {
        call.fail(Code::refused, "descriptors travel over the Unix socket only");
        return std::nullopt;
    }
    return true;
}

io::Task<void> get_as_descriptor(Call& call, ReadRange range) {
    const Arguments& arguments = call.arguments();
    const bool is_member = arguments.has(Name::member);
    if (!is_member) {
        Result<std::optional<OpenedObject>> file =
            co_await call.service().open_file(call.core(), call.address());
        if (!file) co_return call.fail(file.error());
        if (*file) {
            Result<Handed> handed = hand_file(**file, range);
            if (!handed) co_return call.fail(handed.error());
            co_return answer(call, std::move(*handed));
        }
    }
    Result<OpenedObject> opened =
        is_member ? co_await call.service().get_member(call.core(), call.address(),
                                                       arguments.text(Name::member), "", range)
                  : co_await call.service().get(call.core(), call.address(), range);
    if (!opened) co_return call.fail(opened.error());
    if (opened->range.size > batch_bytes_max) {
        co_return call.fail(too_large("batch_bytes", batch_bytes_max));
    }
    Result<Handed> handed = co_await hand_memory(call, std::move(*opened));
    if (!handed) co_return call.fail(handed.error());
    answer(call, std::move(*handed));
}

}  // namespace penstock::node::rpc
