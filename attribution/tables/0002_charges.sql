-- What a charge is and where an allocated cost came from; the account at the provider, by which bills are compared.
-- `allocated_*` are FOCUS's AllocatedMethodId, AllocatedMethodDetails and AllocatedResourceId.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS provider_account LowCardinality(String) AFTER provider_name,
    ADD COLUMN IF NOT EXISTS charge_category LowCardinality(String) AFTER price_id,
    ADD COLUMN IF NOT EXISTS charge_description String CODEC(ZSTD(1)) AFTER charge_category,
    ADD COLUMN IF NOT EXISTS allocated_method_id LowCardinality(String) AFTER charge_description,
    ADD COLUMN IF NOT EXISTS allocated_method_details String CODEC(ZSTD(1)) AFTER allocated_method_id,
    ADD COLUMN IF NOT EXISTS allocated_resource_id String CODEC(ZSTD(1)) AFTER allocated_method_details;
