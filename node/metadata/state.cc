#include "node/metadata/state.h"

#include <algorithm>
#include <utility>

namespace penstock::node {
namespace {

constexpr uint16_t state_version_format = 1;

std::string quoted(const BucketName& name) {
    return "bucket \"" + name.provider + "://" + name.name + "\"";
}

}  // namespace

std::shared_ptr<const MetadataState> MetadataState::empty() {
    return std::shared_ptr<const MetadataState>(new MetadataState);
}

// The leaf that holds the name or would, and the position in it.
MetadataState::Place MetadataState::locate(const BucketName& name) const {
    if (leaves_.empty()) return {};
    const auto after = std::ranges::upper_bound(
        leaves_, name, {}, [](const std::shared_ptr<const Leaf>& leaf) -> const BucketName& {
            return leaf->front()->name;
        });
    Place place;
    place.leaf = after == leaves_.begin() ? 0 : static_cast<size_t>(after - leaves_.begin()) - 1;
    const Leaf& leaf = *leaves_[place.leaf];
    const auto found = std::ranges::lower_bound(
        leaf, name, {}, [](const std::shared_ptr<const Bucket>& bucket) -> const BucketName& {
            return bucket->name;
        });
    place.position = static_cast<size_t>(found - leaf.begin());
    place.is_found = found != leaf.end() && (*found)->name == name;
    return place;
}

std::shared_ptr<const Bucket> MetadataState::find(const BucketName& name) const {
    const Place place = locate(name);
    return place.is_found ? (*leaves_[place.leaf])[place.position] : nullptr;
}

void MetadataState::for_each_bucket(
    const std::function<void(const std::shared_ptr<const Bucket>&)>& visit) const {
    for (const std::shared_ptr<const Leaf>& leaf : leaves_) {
        for (const std::shared_ptr<const Bucket>& bucket : *leaf) visit(bucket);
    }
}

const std::string* MetadataState::find_value(std::string_view key) const {
    const auto found = values_->find(key);
    return found == values_->end() ? nullptr : &found->second;
}

Result<MetadataState::Applied> MetadataState::apply(const Command& command) const {
    TRY_STATUS(check_command(command));
    return std::visit([this](const auto& one) { return apply_to(one); }, command);
}

std::shared_ptr<MetadataState> MetadataState::next() const {
    std::shared_ptr<MetadataState> state(new MetadataState(*this));
    ++state->version_;
    return state;
}

std::shared_ptr<MetadataState::Leaf> MetadataState::own_leaf(size_t leaf) {
    auto own = std::make_shared<Leaf>(*leaves_[leaf]);
    leaves_[leaf] = own;
    return own;
}

void MetadataState::insert(const Place& place, std::shared_ptr<const Bucket> bucket) {
    ++bucket_count_;
    if (leaves_.empty()) {
        leaves_.push_back(std::make_shared<const Leaf>(1, std::move(bucket)));
        return;
    }
    const std::shared_ptr<Leaf> leaf = own_leaf(place.leaf);
    leaf->insert(leaf->begin() + static_cast<ptrdiff_t>(place.position), std::move(bucket));
    if (leaf->size() <= leaf_buckets_max) return;

    const auto middle = leaf->begin() + static_cast<ptrdiff_t>(leaf->size() / 2);
    auto upper = std::make_shared<const Leaf>(middle, leaf->end());
    leaf->erase(middle, leaf->end());
    leaves_.insert(leaves_.begin() + static_cast<ptrdiff_t>(place.leaf) + 1, std::move(upper));
}

void MetadataState::erase(const Place& place) {
    const std::shared_ptr<Leaf> leaf = own_leaf(place.leaf);
    leaf->erase(leaf->begin() + static_cast<ptrdiff_t>(place.position));
    if (leaf->empty()) leaves_.erase(leaves_.begin() + static_cast<ptrdiff_t>(place.leaf));
    --bucket_count_;
}

Result<MetadataState::Applied> MetadataState::apply_to(const CreateBucket& command) const {
    const Place place = locate(command.name);
    if (place.is_found) return fail(Errc::exists, quoted(command.name) + " already exists");
    if (bucket_count_ >= buckets_max) {
        return fail(Errc::too_large, "there are already 1,000,000 buckets");
    }
    const std::shared_ptr<MetadataState> state = next();
    const BucketId id{state->next_bucket_id_++};
    state->insert(place, std::make_shared<const Bucket>(
                             Bucket{id, command.name, command.properties, command.created_ns}));
    return Applied{state, id};
}

Result<MetadataState::Applied> MetadataState::apply_to(const DestroyBucket& command) const {
    const Place place = locate(command.name);
    if (!place.is_found) return fail(Errc::not_found, quoted(command.name) + " does not exist");

    const std::shared_ptr<MetadataState> state = next();
    const BucketId id = (*leaves_[place.leaf])[place.position]->id;
    state->erase(place);
    return Applied{state, id};
}

Result<MetadataState::Applied> MetadataState::apply_to(const SetProperties& command) const {
    const Place place = locate(command.name);
    if (!place.is_found) return fail(Errc::not_found, quoted(command.name) + " does not exist");

    const std::shared_ptr<MetadataState> state = next();
    const std::shared_ptr<Leaf> leaf = state->own_leaf(place.leaf);
    auto changed = std::make_shared<Bucket>(*(*leaf)[place.position]);
    changed->properties = command.properties;
    const BucketId id = changed->id;
    (*leaf)[place.position] = std::move(changed);
    return Applied{state, id};
}

Result<MetadataState::Applied> MetadataState::apply_to(const SetValue& command) const {
    return apply_to(SetValues{.values = {{command.key, command.value}}});
}

Result<MetadataState::Applied> MetadataState::apply_to(const SetValues& command) const {
    if (command.expected_version != 0 && command.expected_version != version_) {
        return fail(Errc::condition_failed, "the metadata changed meanwhile");
    }
    auto values = std::make_shared<Values>(*values_);
    for (const auto& [key, value] : command.values) {
        if (value.empty()) {
            values->erase(key);
        } else {
            (*values)[key] = value;
        }
    }
    if (values->size() > values_max) {
        return fail(Errc::too_large, "there are already 10,000 configuration values");
    }
    const std::shared_ptr<MetadataState> state = next();
    state->values_ = std::move(values);
    return Applied{state, BucketId{}};
}

Result<MetadataState::Applied> MetadataState::apply_to(const RenameBucket& command) const {
    const Place place = locate(command.from);
    if (!place.is_found) return fail(Errc::not_found, quoted(command.from) + " does not exist");
    if (locate(command.to).is_found) {
        return fail(Errc::exists, quoted(command.to) + " already exists");
    }
    auto renamed = std::make_shared<Bucket>(*(*leaves_[place.leaf])[place.position]);
    renamed->name = command.to;
    const BucketId id = renamed->id;
    const std::shared_ptr<MetadataState> state = next();
    state->erase(place);
    state->insert(state->locate(command.to), std::move(renamed));
    return Applied{state, id};
}

std::vector<std::byte> MetadataState::encode() const {
    std::vector<std::byte> to;
    append_le(to, state_version_format);
    append_le(to, uint16_t{0});
    append_le(to, uint32_t{0});
    append_le(to, version_);
    append_le(to, next_bucket_id_);
    append_le(to, static_cast<uint32_t>(values_->size()));
    for (const auto& [key, value] : *values_) {
        append_text(to, key);
        append_text(to, value);
    }
    append_le(to, bucket_count_);
    for_each_bucket([&to](const std::shared_ptr<const Bucket>& bucket) {
        append_le(to, bucket->id.value);
        append_le(to, bucket->created_ns);
        append_name(to, bucket->name);
        append_properties(to, bucket->properties);
    });
    return to;
}

Result<std::shared_ptr<const MetadataState>> MetadataState::parse(Bytes bytes) {
    ByteReader from(bytes);
    const std::optional<uint16_t> format = from.read_le<uint16_t>();
    const std::optional<uint16_t> zero = from.read_le<uint16_t>();
    const std::optional<uint32_t> more_zeros = from.read_le<uint32_t>();
    const std::optional<uint64_t> version = from.read_le<uint64_t>();
    const std::optional<uint64_t> next_bucket_id = from.read_le<uint64_t>();
    if (format > state_version_format) {
        return fail(Errc::invalid, "metadata snapshot: written by a newer release");
    }
    if (format != state_version_format || zero != 0 || more_zeros != 0 || !version ||
        !next_bucket_id) {
        return fail(Errc::corrupt, "metadata snapshot: its head is damaged");
    }
    std::shared_ptr<MetadataState> state(new MetadataState);
    state->version_ = *version;
    state->next_bucket_id_ = *next_bucket_id;
    TRY_STATUS(state->read_values(from));
    TRY_STATUS(state->read_buckets(from));
    if (!from.is_empty()) return fail(Errc::corrupt, "metadata snapshot: bytes behind its end");
    return state;
}

Status MetadataState::read_values(ByteReader& from) {
    const std::optional<uint32_t> count = from.read_le<uint32_t>();
    if (!count || *count > values_max) {
        return fail(Errc::corrupt, "metadata snapshot: the count of values");
    }
    auto values = std::make_shared<Values>();
    for (uint32_t index = 0; index < *count; ++index) {
        std::optional<std::string> key = read_text(from, value_key_bytes_max);
        if (!key) return fail(Errc::corrupt, "metadata snapshot: a value's key");
        std::optional<std::string> value = read_text(from, value_bytes_max);
        const bool is_ordered = values->empty() || values->rbegin()->first < *key;
        if (!value || value->empty() || !is_ordered) {
            return fail(Errc::corrupt, "metadata snapshot: a value");
        }
        values->emplace_hint(values->end(), std::move(*key), std::move(*value));
    }
    values_ = std::move(values);
    return {};
}

Status MetadataState::read_buckets(ByteReader& from) {
    const std::optional<uint32_t> count = from.read_le<uint32_t>();
    if (!count || *count > buckets_max) {
        return fail(Errc::corrupt, "metadata snapshot: the count of buckets");
    }
    Leaf leaf;
    const BucketName* last = nullptr;
    std::shared_ptr<const Bucket> last_bucket;
    for (uint32_t index = 0; index < *count; ++index) {
        const std::optional<uint64_t> id = from.read_le<uint64_t>();
        const std::optional<uint64_t> created_ns = from.read_le<uint64_t>();
        std::optional<BucketName> name = read_name(from);
        if (!id || !created_ns || !name) return fail(Errc::corrupt, "metadata snapshot: a bucket");
        std::optional<BucketProperties> properties = read_properties(from);
        if (!properties || *id == 0 || *id >= next_bucket_id_ || (last && *last >= *name)) {
            return fail(Errc::corrupt, "metadata snapshot: a bucket's properties or place");
        }
        last_bucket = std::make_shared<const Bucket>(
            Bucket{BucketId{*id}, std::move(*name), std::move(*properties), *created_ns});
        last = &last_bucket->name;
        leaf.push_back(last_bucket);
        if (leaf.size() == leaf_buckets_max / 2) {
            leaves_.push_back(std::make_shared<const Leaf>(std::exchange(leaf, {})));
        }
    }
    if (!leaf.empty()) leaves_.push_back(std::make_shared<const Leaf>(std::move(leaf)));
    bucket_count_ = *count;
    return {};
}

}  // namespace penstock::node
