// Offline: what is done to a data directory while no server has it: check it, take its objects out
// as a TAR stream, bring them in, adopt a directory's files. Each call locks the directory, opens
// it as a server would (which repairs what a crash left), and lets go of it.
//
// The interface of the embedded kind (node/embedded.h): standard types and io/base alone, so that
// the command line needs nothing else of the node. Calls wait until all is done; made from one
// thread.
//
// Errors of a whole call: `not_found` (no data directory there), `unavailable` (a process has it;
// the text names its pid), `invalid` (a newer format, a name that cannot be), `corrupt`, `full`,
// `io_error`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/base/bytes.h"
#include "io/base/result.h"

namespace penstock {

struct OfflineProblem {
    std::string name;     // "BUCKET/OBJECT", or what else it is about
    std::string message;  // what is wrong, and what was done
};

struct OfflineSummary {
    uint64_t done = 0;     // objects
    uint64_t skipped = 0;  // there already, just so
    uint64_t failed = 0;
    uint64_t removed = 0;                  // by fsck
    uint64_t copied = 0;                   // by adoption, where a link could not be made
    uint64_t bytes = 0;                    // of their content
    std::vector<OfflineProblem> problems;  // the first ones (offline_problems_max)
};
constexpr size_t offline_problems_max = 10'000;

struct OfflineOptions {
    std::string directory;
    std::vector<std::string> more_directories;  // the node's other mountpaths
    uint32_t in_flight_max = 256;               // objects under way at once
    // Called now and then, from a thread of the store's.
    std::function<void(const OfflineSummary&)> on_progress;
};

// Reads every byte of every object and checks it. Objects that are damaged are kept and answer an
// error, unless `removes_damaged`.
Result<OfflineSummary> fsck(const OfflineOptions& options, bool removes_damaged);

// Where a stream that was cut short can be gone on with.
struct ExportPosition {
    uint64_t stream_bytes = 0;  // what lies behind is to be cut off
    std::string bucket;         // the last whole entry's, "" if there is none
    std::string object;
};
using OfflineRead = std::function<Result<size_t>(MutableBytes)>;  // 0: the end
using OfflineWrite = std::function<Status(Bytes)>;

// Buckets in order, each one's objects in the order of names, as entries BUCKET/OBJECT of a TAR
// that GNU tar reads; what else belongs to an object is in the PAX comment of its entry.
Result<OfflineSummary> export_objects(const OfflineOptions& options, const ExportPosition& from,
                                      const OfflineWrite& write);
// Of an export that was interrupted.
Result<ExportPosition> find_export_position(const OfflineRead& read);

struct ImportOptions {
    std::string bucket;  // where entries go that name none; "": the first part of their names
    bool skips_what_is_there = false;  // to go on with an import that was interrupted
};
// The directory is made if it is missing.
Result<OfflineSummary> import_objects(const OfflineOptions& options, const ImportOptions& import,
                                      const OfflineRead& read);

struct AdoptOptions {
    std::string source;  // a directory
    // "": the source's first level of directories are buckets, else all goes into this one.
    std::string bucket;
    bool skips_what_is_there = false;
    uint64_t copy_below_bytes =
        0;  // smaller files are copied into the log, where reading them is cheaper
};
Result<OfflineSummary> adopt_files(const OfflineOptions& options, const AdoptOptions& adopt);

// A line of a list of access tokens ([access] tokens_file).
struct NewAccessToken {
    std::string file;  // made if it is missing
    std::string name;
    std::string role;                  // "read", "read-write", "admin"
    std::vector<std::string> buckets;  // none: all
};
// Draws a token, appends its hash to the list and gives the token itself, which is kept nowhere.
// `exists` if the list has one of that name.
Result<std::string> add_access_token(const NewAccessToken& wanted);

}  // namespace penstock
