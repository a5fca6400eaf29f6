// The methods, each declared once, sorted by name.
#include <algorithm>

#include "node/doors/rpc/calls.h"
#include "node/doors/rpc/declaration.h"

namespace penstock::node::rpc {
namespace {

constexpr bool required = true;
constexpr bool optional = false;
constexpr bool changes = true;
constexpr bool reads = false;

// Parameters that many methods have.
constexpr Parameter bucket{Name::bucket, Type::str, required, "The bucket's name."};
constexpr Parameter object{Name::name, Type::str, required,
                           "The object's name; as bin where it is no UTF-8."};
constexpr Parameter data{Name::data, Type::bin, required, "At most limits.value_bytes."};
constexpr Parameter crc32c{Name::crc32c, Type::unsigned_integer, optional,
                           "The CRC-32C of data: bytes that came otherwise are refused."};
constexpr Parameter offset{Name::offset, Type::unsigned_integer, optional,
                           "The first byte that is wanted; 0."};
constexpr Parameter length{Name::length, Type::unsigned_integer, optional,
                           "How many bytes at most; all that follow."};
constexpr Parameter member{Name::member, Type::str, optional,
                           "A member of the shard that the object is."};
constexpr Parameter as{Name::as, Type::str, optional,
                       "\"bin\" (the default), or \"fd\" on the Unix socket: a descriptor that "
                       "comes with the first byte of the reply."};
constexpr Parameter if_absent{Name::if_absent, Type::boolean, optional,
                              "Only if the object does not exist."};
constexpr Parameter if_version{Name::if_version, Type::str, optional,
                               "Only if this is the object's version."};
constexpr Parameter props{Name::props, Type::map, optional,
                          "durability (group, none), checksum (none, xxhash, md5, crc32c, sha256, "
                          "sha512), versioned (bool), access (uint), features (uint); objects of "
                          "more than objsize_limit (uint) bytes lie on all mountpaths, in parts of "
                          "chunk_size (uint)."};
constexpr Parameter limit{Name::limit, Type::unsigned_integer, optional,
                          "Entries at most, up to limits.list_entries."};
constexpr Parameter page_token{Name::token, Type::str, optional,
                               "Goes on where the page with this token ended."};
constexpr Parameter metadata{Name::metadata, Type::map, optional, "Texts by name, kept with it."};
constexpr Parameter upload{Name::upload, Type::str, required, "As upload.begin gave it."};
constexpr Parameter job{Name::job, Type::str, required, "The job's id."};

constexpr ResultField version{"version", Type::str, "Of the object; changes with every change."};
constexpr ResultField size{"size", Type::unsigned_integer, "Of the whole content, in bytes."};
constexpr ResultField checksum{"checksum", Type::map, "{type, value}: of the whole content."};
constexpr ResultField data_crc{"crc32c", Type::unsigned_integer, "The CRC-32C of data."};
constexpr ResultField next_token{"token", Type::str, "For the next page; empty after the last."};
constexpr ResultField descriptor{"fd", Type::unsigned_integer,
                                 "With as \"fd\": 0, the first descriptor of this reply."};
constexpr ResultField lease{"lease", Type::unsigned_integer,
                            "With as \"fd\": what the node holds until lease.release."};

constexpr Code object_read[] = {Code::unauthenticated, Code::not_found, Code::bucket_not_found,
                                Code::invalid,         Code::too_large, Code::refused,
                                Code::corrupt,         Code::busy,      Code::not_implemented,
                                Code::internal};
constexpr Code object_change[] = {Code::unauthenticated,
                                  Code::not_found,
                                  Code::bucket_not_found,
                                  Code::invalid,
                                  Code::too_large,
                                  Code::refused,
                                  Code::condition_failed,
                                  Code::corrupt,
                                  Code::full,
                                  Code::busy,
                                  Code::internal};
constexpr Code bucket_change[] = {Code::unauthenticated,
                                  Code::bucket_not_found,
                                  Code::exists,
                                  Code::invalid,
                                  Code::refused,
                                  Code::full,
                                  Code::busy,
                                  Code::internal};
constexpr Code bucket_read[] = {
    Code::unauthenticated, Code::bucket_not_found, Code::invalid, Code::refused, Code::busy,
    Code::internal};
constexpr Code only_invalid[] = {Code::invalid};
constexpr Code login_errors[] = {Code::invalid, Code::unauthenticated};
constexpr Code node_read[] = {Code::invalid, Code::unauthenticated, Code::refused};
constexpr Code lease_errors[] = {Code::not_found, Code::invalid, Code::unauthenticated};
constexpr Code job_errors[] = {Code::not_found, Code::invalid, Code::busy, Code::unauthenticated,
                               Code::refused};

constexpr Parameter login_parameters[] = {
    {Name::token, Type::str, required, "What the node's operator gave out."}};
constexpr ResultField login_results[] = {
    {"required", Type::boolean, "Whether calls need a login at all."},
    {"message", Type::str, "What that means."}};

constexpr Parameter bucket_only[] = {bucket};
constexpr Parameter create_parameters[] = {bucket, props};
constexpr Parameter set_parameters[] = {
    bucket, {Name::props, Type::map, required, "As of bucket.create; the others stay."}};
constexpr ResultField bucket_list_results[] = {{"buckets", Type::array, "Of {name, provider}."}};
constexpr ResultField bucket_stat_results[] = {
    {"name", Type::str, "The bucket's name."},
    {"provider", Type::str, "\"ais\": the bytes lie here."},
    {"created_ns", Type::unsigned_integer, "Nanoseconds since 1970."},
    {"props", Type::map,
     "durability, checksum, versioned, access, features, objsize_limit, chunk_size."}};

constexpr Parameter list_parameters[] = {
    bucket,
    {Name::prefix, Type::str, optional, "Names that begin so."},
    page_token,
    limit,
    {Name::props, Type::array, optional, "What else is wanted: checksum, modified_ns, metadata."}};
constexpr ResultField list_results[] = {
    {"entries", Type::array, "Of {name, size, version, and what props asks for}, by name."},
    next_token};

constexpr Parameter object_only[] = {bucket, object};
constexpr Parameter put_parameters[] = {bucket,   object,    data,      crc32c,
                                        metadata, if_absent, if_version};
constexpr ResultField put_results[] = {version, size, checksum};
constexpr Parameter get_parameters[] = {bucket, object, offset, length, member, as};
constexpr ResultField get_results[] = {
    {"data", Type::bin, "Exactly the range; absent with as \"fd\"."},
    data_crc,
    size,
    version,
    descriptor,
    {"entries", Type::array, "With as \"fd\": where in the file the range lies."},
    lease};
constexpr ResultField stat_results[] = {
    size,
    version,
    checksum,
    {"metadata", Type::map, "Texts by name."},
    {"modified_ns", Type::unsigned_integer, "Nanoseconds since 1970."}};
constexpr Parameter delete_parameters[] = {bucket, object, if_version};
constexpr ResultField version_only[] = {version};
constexpr Parameter copy_parameters[] = {
    bucket,
    object,
    {Name::to_bucket, Type::str, required, "The copy's bucket."},
    {Name::to_name, Type::str, required, "The copy's name."}};
constexpr Parameter rename_parameters[] = {
    bucket, object, {Name::to, Type::str, required, "The new name."}};
constexpr Parameter append_parameters[] = {
    bucket,
    object,
    data,
    {Name::handle, Type::str, optional,
     "As the append before gave it; without it: behind what the object holds now."},
    {Name::flush, Type::boolean, optional, "This was the last one: all of them are seen now."}};
constexpr ResultField append_results[] = {
    {"handle", Type::str, "For the next append; with flush empty: there is none."},
    {"version", Type::str, "With flush: of the object."},
    {"size", Type::unsigned_integer, "With flush: of the whole content, in bytes."}};
constexpr Parameter metadata_parameters[] = {
    bucket,
    object,
    {Name::metadata, Type::map, required, "Texts by name."},
    {Name::replace, Type::boolean, optional, "Drop what is not named; false."}};
constexpr Parameter members_parameters[] = {bucket, object, page_token, limit};
constexpr ResultField members_results[] = {
    {"entries", Type::array, "Of {name, size}, by name."},
    next_token,
    {"damaged_at", Type::unsigned_integer, "Where the shard is damaged; absent if it is whole."}};

constexpr Parameter many_parameters[] = {
    {Name::items, Type::array, required,
     "Of {bucket, name, member?, offset?, length?}, at most limits.batch_items."},
    {Name::ordered, Type::boolean, optional, "In the order of items (true), or as read."},
    as,
    {Name::on_missing, Type::str, optional,
     "\"error\" (the default): the call fails; \"skip\": the entry says why."}};
constexpr ResultField many_results[] = {
    {"data", Type::bin, "The contents, one behind the other; absent with as \"fd\"."},
    data_crc,
    {"entries", Type::array, "Of {index, offset, length, error?}: item, and where in data."},
    descriptor,
    {"size", Type::unsigned_integer, "With as \"fd\": of the sealed memory."},
    lease};
constexpr Parameter one_item[] = {bucket, object, member, offset, length};

constexpr Parameter lease_parameters[] = {
    {Name::lease, Type::unsigned_integer, required, "As the reply with the descriptor gave it."}};

constexpr Parameter part_parameters[] = {
    upload,
    {Name::number, Type::unsigned_integer, required, "1 to limits.upload_parts."},
    data,
    crc32c};
constexpr Parameter begin_parameters[] = {bucket, object, metadata};
constexpr Parameter upload_only[] = {upload};
constexpr Parameter complete_parameters[] = {
    upload,
    {Name::parts, Type::array, optional, "The numbers; all that were sent."},
    if_absent,
    if_version};
constexpr ResultField upload_results[] = {{"upload", Type::str, "The upload's id."}};

constexpr Parameter job_only[] = {job};
constexpr Parameter job_list_parameters[] = {
    {Name::kind, Type::str, optional,
     "Jobs of this kind only: delete_objects, copy_objects, copy_bucket, rename_bucket, promote, "
     "..."},
    {Name::active, Type::boolean, optional, "Jobs that run only."}};
constexpr Parameter wait_parameters[] = {
    job, {Name::timeout_s, Type::floating, optional, "How long to wait, up to 600 (the default)."}};
constexpr ResultField job_results[] = {
    {"job", Type::str, "Its id."},
    {"state", Type::str, "running, done, failed or stopped."},
    {"kind", Type::str, "What it does."},
    {"objects", Type::unsigned_integer, "Done so far."},
    {"bytes", Type::unsigned_integer, "Of their content."},
    {"errors", Type::unsigned_integer, "Objects that failed."},
    {"started_ns", Type::unsigned_integer, "Nanoseconds since 1970."},
    {"ended_ns", Type::unsigned_integer, "When its work was done; 0 before."}};
constexpr ResultField job_list_results[] = {{"jobs", Type::array, "Of what job.status gives."}};

constexpr ResultField ping_results[] = {
    {"time_ns", Type::unsigned_integer, "The node's clock, nanoseconds since 1970."}};
constexpr ResultField node_results[] = {
    {"node", Type::str, "Its id."},
    {"version", Type::str, "Of the program."},
    {"uptime_s", Type::unsigned_integer, "Since it started."},
    {"buckets", Type::unsigned_integer, "How many there are."},
    {"objects", Type::unsigned_integer, "How many there are."},
    {"bytes", Type::unsigned_integer, "Of content."},
    {"io_backend", Type::str, "uring or epoll."},
    {"cores", Type::unsigned_integer, "That serve."},
    {"pid", Type::unsigned_integer, "The process."},
    {"mountpaths", Type::array,
     "Of {path, in_service, objects, total_bytes, available_bytes, corruptions}."}};
constexpr ResultField cluster_results[] = {
    {"cluster", Type::str, "Its id."},
    {"version", Type::unsigned_integer, "Of the metadata: grows with each change."},
    {"nodes", Type::array, "Of {node, state, roles, http, rpc, version}."}};
constexpr ResultField describe_results[] = {
    {"version", Type::str, "Of the program."},
    {"methods", Type::array, "Of {name, doc, params, result, changes, errors}."},
    {"errors", Type::array, "Of {code, name, doc}."},
    {"limits", Type::map, "Numbers by name."},
    {"notifications", Type::array, "Of {name, doc}."}};

constexpr Method all[] = {
    {"auth.login", "Says who calls, for all calls of this connection that follow.",
     login_parameters, login_results, reads, login_errors, Operation::cluster, log_in,
     access::anyone},
    {"bucket.create",
     "Makes a bucket; properties not named are as the cluster's configuration says.",
     create_parameters,
     {},
     changes,
     bucket_change,
     Operation::bucket,
     create_bucket,
     access::create_bucket},
    {"bucket.destroy",
     "Destroys a bucket and all its objects.",
     bucket_only,
     {},
     changes,
     bucket_change,
     Operation::bucket,
     destroy_bucket,
     access::destroy_bucket},
    {"bucket.list",
     "All buckets, by name.",
     {},
     bucket_list_results,
     reads,
     node_read,
     Operation::bucket,
     list_buckets,
     access::list_buckets},
    {"bucket.set",
     "Changes properties of a bucket.",
     set_parameters,
     {},
     changes,
     bucket_change,
     Operation::bucket,
     set_bucket,
     access::patch_bucket},
    {"bucket.stat", "What a bucket is.", bucket_only, bucket_stat_results, reads, bucket_read,
     Operation::bucket, stat_bucket, access::head_bucket},
    {"cluster.status",
     "The cluster and its nodes.",
     {},
     cluster_results,
     reads,
     node_read,
     Operation::cluster,
     cluster_status,
     access::show_cluster},
    {"job.list", "Long work, that of the past for a day, too; newest first.", job_list_parameters,
     job_list_results, reads, job_errors, Operation::other, list_jobs, access::show_cluster},
    {"job.status", "How far a job is.", job_only, job_results, reads, job_errors, Operation::other,
     job_status, access::show_cluster},
    {"job.stop",
     "Stops a job.",
     job_only,
     {},
     changes,
     job_errors,
     Operation::other,
     stop_job,
     access::admin},
    {"job.wait", "Answers when a job has ended, or the time is over.", wait_parameters, job_results,
     reads, job_errors, Operation::other, wait_for_job, access::show_cluster},
    {"lease.release",
     "The descriptor of this lease is not needed any more.",
     lease_parameters,
     {},
     reads,
     lease_errors,
     Operation::other,
     release_lease,
     access::any_role},
    {"node.status",
     "The node and its disks.",
     {},
     node_results,
     reads,
     node_read,
     Operation::cluster,
     node_status,
     access::show_cluster},
    {"object.append", "Puts bytes behind those of the appends before; seen after the flush.",
     append_parameters, append_results, changes, object_change, Operation::object_action,
     append_to_object, access::append},
    {"object.copy", "Makes a copy, with its metadata.", copy_parameters, put_results, changes,
     object_change, Operation::object_action, copy_object, access::get, access::put},
    {"object.delete", "Deletes an object.", delete_parameters, version_only, changes, object_change,
     Operation::del, delete_object, access::delete_object},
    {"object.get", "Bytes of an object, or of a member of a shard.", get_parameters, get_results,
     reads, object_read, Operation::get, get_object, access::get},
    {"object.get_many", "Many objects and members in one answer.", many_parameters, many_results,
     reads, object_read, Operation::get_many, get_many, access::any_role},
    {"object.list", "A page of a bucket's objects.", list_parameters, list_results, reads,
     bucket_read, Operation::list, list_objects, access::list_objects},
    {"object.members", "A page of a shard's members.", members_parameters, members_results, reads,
     object_read, Operation::list, list_members, access::get},
    {"object.put", "Stores an object; durable when it is answered.", put_parameters, put_results,
     changes, object_change, Operation::put, put_object, access::put},
    {"object.rename",
     "Gives an object another name, in one step.",
     rename_parameters,
     {},
     changes,
     object_change,
     Operation::object_action,
     rename_object,
     access::move_object},
    {"object.set_metadata", "Changes an object's metadata; its content stays.", metadata_parameters,
     version_only, changes, object_change, Operation::update, set_metadata, access::update_object},
    {"object.stat", "What an object is.", object_only, stat_results, reads, object_read,
     Operation::head, stat_object, access::head_object},
    {"rpc.describe",
     "What this says: all methods, errors and limits.",
     {},
     describe_results,
     reads,
     only_invalid,
     Operation::other,
     describe,
     access::anyone},
    {"rpc.ping",
     "Answers.",
     {},
     ping_results,
     reads,
     only_invalid,
     Operation::other,
     ping,
     access::anyone},
    {"upload.abort",
     "Drops an upload.",
     upload_only,
     {},
     changes,
     object_change,
     Operation::object_action,
     abort_upload,
     access::put},
    {"upload.begin", "Begins an object that comes in parts.", begin_parameters, upload_results,
     changes, object_change, Operation::object_action, begin_upload, access::put},
    {"upload.complete", "Makes the parts an object.", complete_parameters, put_results, changes,
     object_change, Operation::object_action, complete_upload, access::put},
    {"upload.part", "One part; a later one of the same number replaces it.", part_parameters,
     version_only, changes, object_change, Operation::object_action, put_part, access::put},
};
static_assert(std::ranges::is_sorted(all, {}, &Method::name));

constexpr Limit all_limits[] = {
    {"message_bytes", message_bytes_max},
    {"message_values", message_values_max},
    {"nesting", nesting_max},
    {"value_bytes", value_bytes_max},
    {"batch_items", batch_items_max},
    {"batch_bytes", batch_bytes_max},
    {"leases", leases_max},
    {"leased_bytes", leased_bytes_max},
    {"calls_underway", calls_underway_max},
    {"list_entries", list_limit_max},
    {"name_bytes", object_name_bytes_max},
    {"upload_parts", parts_max},
};

}  // namespace

std::span<const Method> methods() {
    return all;
}

std::span<const Parameter> item_parameters() {
    return one_item;
}

std::span<const Limit> limits() {
    return all_limits;
}

}  // namespace penstock::node::rpc
