// Job: long work on many objects (AIStore calls it an xaction): what is to be done, to which
// objects, and how far it is. Values; the work itself is the registry's (registry.h).
//
// Every action is idempotent, so a job that a crash interrupted goes on, under the same id, from
// the last place that its journal knows, and ends with what it would have ended with.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "node/metadata/bucket.h"

namespace penstock::node {

// The numbers are in the journal: never given twice.
enum class JobKind : uint8_t {
    delete_objects = 1,
    copy_objects = 2,   // a selection
    copy_bucket = 3,    // everything, or a prefix
    rename_bucket = 4,  // one command of the metadata, however many objects
    promote = 5,        // adopts files of the server
    // Those, but for `resilver`, have nothing to do on one node: they begin, and end.
    evict_cold = 6,
    clean_up = 7,
    rebalance = 8,
    resilver = 9,  // lasts as long as objects move between mountpaths; one at a time
    warm_up = 10,
    scrub = 11,    // of one bucket, or of all
    rechunk = 12,  // large objects anew, in parts or in one piece
};

// Which objects of a bucket. Several things in one would have to be ordered: it is one of them.
struct Selection {
    enum class Kind : uint8_t {
        all = 0,
        names = 1,    // exactly these; one that is not there is an error of the job
        pattern = 2,  // names made by a template (name_template.h); holes are no errors
        prefix = 3,   // every name that begins with `text`
    } kind = Kind::all;
    std::vector<std::string> names;
    std::string text;
    bool is_recursive = true;  // false: no name with a '/' behind what the listing begins with
    bool operator==(const Selection&) const = default;
};

// What a copy does with names, and whether it is done at all.
struct CopyOptions {
    BucketName to;
    std::string prepend;
    // Last extension of a name -> what stands in its place, both without the dot.
    std::vector<std::pair<std::string, std::string>> extensions;
    bool is_dry_run = false;  // counts, and writes nothing
    // What the source does not have goes from the destination, where the copy would have put it.
    bool synchronizes = false;
    bool operator==(const CopyOptions&) const = default;
};

struct PromoteOptions {
    std::string source;  // a file or directory, relative to the promote root
    std::string name;    // of the object; of a directory, what all names begin with
    bool is_recursive = false;
    bool overwrites = false;
    bool deletes_source = false;
    bool operator==(const PromoteOptions&) const = default;
};

struct JobSpec {
    JobKind kind = JobKind::delete_objects;
    std::string owner;  // who asked for it: a door's name, or a token's
    BucketName bucket;  // whose objects; an empty name: no bucket's
    Selection selection;
    CopyOptions copy;  // of copies; of a rename, `to`
    PromoteOptions promote;
    StripeRule rechunk;         // which objects are to be in parts
    uint32_t worker_count = 0;  // as asked for; how many things are done at once is ours to say
    bool operator==(const JobSpec&) const = default;
};

struct JobError {
    std::string object;  // "" if it is about the job as a whole
    std::string text;
    bool operator==(const JobError&) const = default;
};

struct JobProgress {
    uint64_t objects = 0;  // done
    uint64_t bytes = 0;    // of their content, where the walker knows it
    uint64_t error_count = 0;
    std::vector<JobError> errors;  // the first ones (job_errors_max)
    bool operator==(const JobProgress&) const = default;
};

enum class JobState : uint8_t {
    running = 0,
    idle = 1,  // the work is done, the job still shows as alive (see lingers())
    finished = 2,
    stopped = 3,  // by a request, or because it could not go on: `stop_reason`
};

struct JobSnapshot {
    std::string id;
    JobSpec spec;  // without the names of a long list: the first ones
    JobState state = JobState::running;
    JobProgress progress;
    std::string stop_reason;
    uint64_t started_ns = 0;      // wall clock
    uint64_t ended_ns = 0;        // 0 while it is running or idle
    uint64_t done_ns = 0;         // when its work was; 0 while it is running
    uint64_t selected_count = 0;  // names in the selection, if it is a list
    bool is_resumed = false;      // a start of the node found it in the journal

    bool is_alive() const { return state == JobState::running || state == JobState::idle; }
};

// All that is set must agree.
struct JobFilter {
    std::string id;
    std::vector<JobKind> kinds;  // none: any
    BucketName bucket;           // an empty name: any; else source or destination
    bool is_alive_only = false;
};

// Errors by object that a job keeps; it counts the others.
constexpr size_t job_errors_max = 64;
// Names of a list that a snapshot shows.
constexpr size_t snapshot_names_max = 16;

// AIStore's clients look for such a job among the live ones after its work is done, and may stop
// it then (contract, section 9.4): it stays alive for a while.
constexpr bool lingers(JobKind kind) {
    return kind == JobKind::copy_objects;
}

}  // namespace penstock::node
