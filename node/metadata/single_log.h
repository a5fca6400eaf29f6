// SingleLog: the metadata of a node on its own: commands go into the journal of its mountpath, in
// the order of core 0, as many as wait in one commit. With several mountpaths up to three have a
// journal, all of them the same one; a command counts when each of those that answer has it, and at
// a start the newest that can be read counts.
#pragma once

#include <memory>
#include <vector>

#include "io/base/log.h"
#include "io/reactor.h"
#include "node/metadata/copies.h"
#include "node/metadata/journal.h"
#include "node/metadata/metadata_log.h"

namespace penstock::node {

struct SingleLogParts {
    std::vector<io::Reactor*> reactors;  // of all cores
    std::vector<MetadataHome> homes;     // the first ones are used
};

class SingleLog : public MetadataLog {
public:
    // From now on the journals lie there (the first few); all of them have everything when it is
    // done. On core 0. An error if none of them can be written: then nothing changes.
    virtual io::Task<Status> keep_on(std::vector<MetadataHome> homes) = 0;
};

// On core 0; what `parts` names must outlive the log. Fails as Journal::open() does, if none of the
// journals can be read.
io::Task<Result<std::unique_ptr<SingleLog>>> open_single_log(SingleLogParts parts,
                                                             JournalOptions options,
                                                             const Log& log);

}  // namespace penstock::node
