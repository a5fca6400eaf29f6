// The bytes of a journal file (journal.h has the layout): built here, and read without trust.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"
#include "node/metadata/state.h"

namespace penstock::node {

struct JournalSnapshot {
    std::shared_ptr<const MetadataState> state;
    uint64_t end = 0;  // where the records begin
};

// The header and the snapshot of `state`.
std::vector<std::byte> encode_snapshot(const MetadataState& state, uint64_t generation);
// `invalid` if a newer release wrote it, otherwise `corrupt`.
Result<JournalSnapshot> parse_snapshot(Bytes file, uint64_t generation);

struct JournalRecord {
    uint64_t version = 0;
    uint64_t durable_version = 0;
    Bytes command;
    uint64_t bytes = 0;  // of the whole record
};

void append_record(std::vector<std::byte>& to, Bytes command, uint64_t generation, uint64_t version,
                   uint64_t durable_version);
// The record at the front of `rest`; nullopt if it is not whole and good.
std::optional<JournalRecord> parse_record(Bytes rest, uint64_t generation);

// Whether a record begins here and goes on behind the end of `rest`.
bool is_cut_off(Bytes rest);

}  // namespace penstock::node
