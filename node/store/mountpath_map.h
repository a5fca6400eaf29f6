// MountpathMap: which mountpath a name belongs to, by highest random weight, and which of them are
// in service. Immutable; every core has one and gets the next one whole.
//
// While objects are being moved a name belongs to one mountpath and may still lie on another one,
// where it belonged before. There are never more than those two: the next change of the set waits
// until the last one's objects are moved.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/base/checksum.h"
#include "node/store/mountpath_registry.h"
#include "node/store/object_name.h"

namespace penstock::node {

class MountpathMap {
public:
    struct Slot {
        uint64_t digest = 0;  // of the mountpath's id
        bool is_now = false;  // names may belong to it
        bool was = false;     // names may have belonged to it before objects began to move
        // Why it is out of service; null: it is not.
        std::shared_ptr<const std::string> out;
    };

    // The numbers of slots are the set's: a slot that is neither `is_now` nor `was` is nobody's.
    explicit MountpathMap(std::vector<Slot> slots);

    struct Owners {
        uint32_t now = 0;
        uint32_t before = 0;  // the same, unless the object may have to move
        bool may_move() const { return now != before; }
    };
    Owners owners_of(const ObjectName& name) const;
    // Nobody else has anything: the number of the only one.
    bool is_sole() const { return is_sole_; }
    uint32_t sole() const { return sole_; }
    bool is_moving() const { return is_moving_; }
    const std::vector<Slot>& slots() const { return slots_; }
    const std::shared_ptr<const std::string>& out(uint32_t slot) const { return slots_[slot].out; }
    // Of those that hold something, the first one that is out of service; null: all are in.
    const std::shared_ptr<const std::string>& any_out() const;

private:
    std::vector<Slot> slots_;
    bool is_moving_ = false;
    bool is_sole_ = false;
    uint32_t sole_ = 0;
};

uint64_t mountpath_digest(const Digest128& id);

}  // namespace penstock::node
