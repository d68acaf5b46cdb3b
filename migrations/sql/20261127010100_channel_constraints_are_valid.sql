-- The constraints of `sync.channel` hold for the rows from before it, too. This reads the
-- table and lets others read and write it meanwhile.
ALTER TABLE sync.channel
    VALIDATE CONSTRAINT channel_account_id_fkey,
    VALIDATE CONSTRAINT channel_kind_check,
    VALIDATE CONSTRAINT channel_sync_stage_check,
    VALIDATE CONSTRAINT channel_visibility_check,
    VALIDATE CONSTRAINT channel_contact_auto_creation_policy_check,
    VALIDATE CONSTRAINT channel_message_folder_import_policy_check,
    VALIDATE CONSTRAINT channel_message_columns_check;
