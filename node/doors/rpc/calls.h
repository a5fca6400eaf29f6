// What serves each method; the declarations (methods.cc) say what is asked and answered.
#pragma once

#include "io/task.h"
#include "node/doors/rpc/call.h"

namespace penstock::node::rpc {

// The node (node_calls.cc).
io::Task<void> describe(Call& call);
io::Task<void> ping(Call& call);
io::Task<void> log_in(Call& call);
io::Task<void> node_status(Call& call);
io::Task<void> cluster_status(Call& call);
io::Task<void> release_lease(Call& call);

// Buckets (bucket_calls.cc).
io::Task<void> create_bucket(Call& call);
io::Task<void> destroy_bucket(Call& call);
io::Task<void> list_buckets(Call& call);
io::Task<void> stat_bucket(Call& call);
io::Task<void> set_bucket(Call& call);

// Objects (object_calls.cc, list_calls.cc).
io::Task<void> put_object(Call& call);
io::Task<void> get_object(Call& call);
io::Task<void> stat_object(Call& call);
io::Task<void> delete_object(Call& call);
io::Task<void> copy_object(Call& call);
io::Task<void> set_metadata(Call& call);
io::Task<void> list_objects(Call& call);
io::Task<void> list_members(Call& call);

// Objects in pieces, and renames (upload_calls.cc).
io::Task<void> begin_upload(Call& call);
io::Task<void> put_part(Call& call);
io::Task<void> complete_upload(Call& call);
io::Task<void> abort_upload(Call& call);
io::Task<void> append_to_object(Call& call);
io::Task<void> rename_object(Call& call);

// Jobs (job_calls.cc).
io::Task<void> list_jobs(Call& call);
io::Task<void> job_status(Call& call);
io::Task<void> stop_job(Call& call);
io::Task<void> wait_for_job(Call& call);

// Batches (batch.cc) and what is handed over as a descriptor (descriptors.cc).
io::Task<void> get_many(Call& call);
io::Task<void> get_as_descriptor(Call& call, ReadRange range);

// Whether `as` asks for a descriptor; nullopt: the call has failed, it cannot have one.
std::optional<bool> wants_descriptor(Call& call);

// All that the caller may know of, by name.
std::vector<std::shared_ptr<const Bucket>> visible_buckets(Call& call);

// Parts of replies that several methods have.
// Three pairs: version, size, checksum.
void write_attributes(Writer& writer, const ObjectAttributes& attributes);
void write_checksum(Writer& writer, const ContentChecksum& checksum);
void write_metadata(Writer& writer, const CustomMetadata& metadata);
std::string_view name_of(ChecksumType type);

// Arguments that several methods have, or why they cannot be what they should.
std::expected<Condition, Failure> read_condition(const Arguments& arguments);
std::expected<CustomMetadata, Failure> read_metadata(const Call& call);
// That `data` is not too long and has the CRC-32C that was given.
std::optional<Failure> check_data(const Call& call);

}  // namespace penstock::node::rpc
