// The jobs' journal from a foreign disk, and templates from clients. What reads must write the same
// bytes again; what a template makes are names that it has said how many of.
#include <algorithm>
#include <cstdlib>

#include "node/jobs/journal_format.h"
#include "node/jobs/name_template.h"

using namespace penstock;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes{reinterpret_cast<const std::byte*>(data), size};
    [[maybe_unused]] const Result<uint64_t> header = node::parse_job_header(bytes);
    if (const auto parsed = node::parse_job_record(bytes)) {
        std::vector<std::byte> again;
        node::append_job_record(again, parsed->record);
        if (!std::ranges::equal(again, bytes.first(parsed->bytes))) abort();
    }
    // The checksum keeps nearly all of it away from what is behind: here without it.
    node::JobBegun begun;
    begun.spec.selection.names.assign(size % 3, std::string(as_text(bytes).substr(0, 4096)));
    begun.spec.selection.text = as_text(bytes).substr(0, 4096);
    begun.spec.kind = size % 2 == 0 ? node::JobKind::rechunk : node::JobKind::copy_bucket;
    if (size % 2 == 0) begun.spec.rechunk = {size, size * 3};
    begun.spec.copy.is_dry_run = size % 5 == 0;
    begun.spec.copy.synchronizes = size % 7 == 0;
    std::vector<std::byte> record;
    node::append_job_record(record, begun);
    const auto back = node::parse_job_record(record);
    if (!back || std::get<node::JobBegun>(back->record) != begun) abort();

    const auto made = node::NameTemplate::parse(as_text(bytes));
    if (!made) return 0;
    if (made->form() == node::NameTemplate::Form::range) {
        if (made->count() == 0 || made->count() > node::NameTemplate::names_max) abort();
        const std::string last = made->name_at(made->count() - 1);
        if (made->count() > 1 && made->name_at(0) == last) abort();
    } else if (made->form() == node::NameTemplate::Form::open) {
        [[maybe_unused]] const bool matches = made->matches(as_text(bytes));
    }
    return 0;
}
