// Striping: an object that is too large for one mountpath's rate is cut into parts that lie on
// several and are read side by side. DESIGN.md, "Striped objects", tells how they live and go.
//
// Bytes go round the `width` parts of a group, a unit at a time; when those are full the next group
// begins:
//
//     unit   0  1  2 |  3  4  5 | ...        part 0: 0 3 6 ..., part 1: 1 4 7 ..., part 2: 2 5 8
//     ...
//
// so a reader that takes them in order keeps all mountpaths at work with one unit of each in
// memory. A part is a hidden object (upload.h) with a file of its own; its number is chosen so that
// its name belongs to the mountpath that it is meant for.
//
// An object that came as an upload has such a layout for each part of the upload, one behind the
// other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/base/checksum.h"
#include "io/base/result.h"
#include "io/body.h"
#include "io/task.h"
#include "node/store/object_name.h"

namespace penstock::node {

constexpr uint32_t stripe_unit_bytes = 256 << 10;  // what one read of an object file takes
constexpr uint32_t stripe_width_max = 8;           // a reader holds two units for each
constexpr uint32_t stripe_parts_max = 200'000;     // 800 KB of a record's 1 MiB
constexpr uint64_t stripe_part_bytes_min = 1 << 20;
constexpr uint64_t striped_bytes_max = uint64_t{1} << 60;  // of an object
// In an upload: one group holds whatever comes, so that each part has `stripe_width_max` at most
// and a record can list those of 10,000.
constexpr uint64_t upload_stripe_bytes = uint64_t{1} << 40;

struct PutOptions;
struct StripedContent;

// What a bucket asks for.
struct StripeRule {
    uint64_t above_bytes = 0;                 // objects larger than this; 0: none
    uint64_t part_bytes = uint64_t{1} << 30;  // of a part; rounded up to whole units
    bool operator==(const StripeRule&) const = default;
};

struct StripeLayout {
    Digest128 id;
    uint64_t size_bytes = 0;  // of the object, at least 1
    uint64_t part_bytes = 0;  // of a full part: a multiple of unit_bytes
    uint32_t unit_bytes = stripe_unit_bytes;
    uint32_t width = 0;
    std::vector<uint32_t> numbers;  // of the parts, in order

    bool operator==(const StripeLayout&) const = default;
    uint64_t group_bytes() const { return part_bytes * width; }
    // How many parts so many bytes have.
    uint64_t part_count(uint64_t size) const;
    // Of the object's first `size` bytes, how many lie in part `index`.
    uint64_t bytes_before(uint32_t index, uint64_t size) const;
    // Whether it can be: whatever a record says is looked at by this.
    bool is_possible() const;
};

// What a striped object's content is, in order; never empty. The first one's id is what readers
// pin.
using StripeLayouts = std::vector<StripeLayout>;
uint64_t size_of(const StripeLayouts& layouts);

// "sID/NNNNNNNN", in the hidden bucket of the object's bucket.
std::string stripe_part_name(const Digest128& id, uint32_t number);
// nullopt: a name of something else.
std::optional<Digest128> stripe_id_from(std::string_view part_name);
constexpr std::string_view stripe_part_prefix = "s";

// Who has the stripes that a part is of: the object, or until its upload ends that part of it.
struct StripeOwner {
    ObjectName object;
    std::string upload_part;  // "ID/00007"; "": the object has them
};

// In a part's own metadata: which object it is for; and in an upload, under other names, because a
// release that knows no striped uploads removes what it takes for nobody's.
constexpr const char* stripe_object_key = "object";
constexpr const char* stripe_upload_object_key = "for";
constexpr const char* stripe_upload_key = "upload";

// What a store asks of the set of mountpaths around it. `core` is the set's number of the caller's.
class StripeHost {
public:
    virtual ~StripeHost() = default;
    // A range of the object, verified as it is read. `not_found`: its first part is gone, so the
    // object was replaced, or lost a mountpath; `corrupt` for another part that is not there.
    virtual io::Task<Result<io::Body>> open_stripes(uint32_t core, BucketId bucket,
                                                    std::shared_ptr<const StripeLayouts> layouts,
                                                    uint64_t offset, uint64_t size) = 0;
    // Reads every part from its device; the bytes that were checked. Errors as open_stripes().
    virtual io::Task<Result<uint64_t>> verify_stripes(
        uint32_t core, BucketId bucket, std::shared_ptr<const StripeLayouts> layouts) = 0;
    // A record of `object` with these parts was replaced, durably: they go, unless the object still
    // has them (it was moved). Of an upload's part, a hidden name: they go.
    virtual io::Task<void> drop_stripes(uint32_t core, ObjectName object,
                                        std::shared_ptr<const StripeLayouts> layouts) = 0;
    // Cuts a part of an upload, of at least one byte; when all of it is durable `commit` writes the
    // record that has it. Whatever fails, nothing of it stays that is nobody's.
    using Commit = std::function<io::Task<Status>(StripedContent& content)>;
    virtual io::Task<Status> put_stripes(uint32_t core, StripeOwner owner, io::Body body,
                                         PutOptions& options, Commit commit) = 0;
};

}  // namespace penstock::node
