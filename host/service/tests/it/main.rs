//! The use cases on real databases: every scenario runs on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod authorisation;
mod billing;
mod capture_rules;
mod catalogue;
mod chaos;
mod coalesce;
mod downloads;
mod draining;
mod estimates;
mod events;
mod exports;
mod finding;
mod imports;
mod isos;
mod limits;
mod metadata;
mod metering;
mod pages;
mod queueing;
mod reinstall;
mod saved;
mod scan;
mod secrets;
mod sharing;
mod start;
mod storage_kinds;
mod storages;
mod support;
mod tasks;
mod webhooks;

type Scenario = fn(support::World) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Opens a world in a future that takes no room on the stack of its caller.
fn opened(target: imprint_store::Target) -> std::pin::Pin<Box<dyn Future<Output = support::World>>> {
    Box::pin(support::World::open(target))
}

/// Runs scenarios on both databases: one test each on SQLite, and one for all on a PostgreSQL of
/// their own.
macro_rules! scenarios {
    ($($module:ident { $($name:ident),* $(,)? })*) => {
        mod sqlite {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let mut folder = imprint_store::testing::SqliteFolder::new().unwrap();
                    let world = crate::support::World::open(folder.fresh()).await;
                    crate::$module::$name(world).await;
                })*
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $module() {
                let mut server = imprint_store::testing::PostgresServer::start().await.unwrap();
                $({
                    println!(concat!("scenario ", stringify!($name)));
                    let world = crate::opened(server.fresh().await.unwrap()).await;
                    // Made in a function of its own: what all of them need at once on the stack of
                    // one function overflows it.
                    let scenario: crate::Scenario = |world| Box::pin(crate::$module::$name(world));
                    scenario(world).await;
                })*
            })*
        }
    };
}

scenarios! {
    access {
        sessions_end_by_time_and_on_request,
        guessing_a_password_is_slowed_down,
        tokens_do_what_their_scopes_say,
        agent_tokens_are_accepted_by_agent_endpoints_only,
    }
    authorisation {
        a_foreign_account_sees_nothing,
        a_customer_is_no_admin,
        a_reading_token_changes_nothing,
        stock_images_are_for_all_to_use_and_for_admins_to_change,
        every_change_has_its_audit_row,
    }
    billing {
        hours_are_metered_once_however_often_the_job_is_killed,
        two_control_planes_meter_the_same_hours,
        a_deleted_image_stays_in_the_report_and_its_clock_stands,
        a_rate_never_changes_what_was,
        the_rate_of_an_account_ends,
        a_month_is_closed_by_itself_once_it_can_be_corrected_no_more,
        a_closed_month_changes_by_adjustments_only,
        a_used_up_budget_refuses_new_images,
    }
    capture_rules {
        captures_that_keep_failing_say_whom_to_ask,
        the_location_or_the_request_chooses_the_format,
        a_capture_without_room_is_tried_again_later,
        windows_disks_have_a_bound_and_domain_controllers_none,
    }
    catalogue {
        media_groups_are_added_moved_hidden_and_deleted,
        what_is_hidden_does_not_exist_for_customers,
        a_family_is_deployed_by_its_latest_version,
        an_entry_of_the_catalogue_refers_to_what_there_is,
        keys_and_scripts_need_cloud_init,
        a_retry_asks_whether_the_image_is_offered,
        a_reinstalled_instance_has_the_system_of_its_image,
    }
    chaos {
        nothing_is_stuck_whatever_happens,
    }
    coalesce {
        only_a_stopped_and_idle_instance_is_merged,
        a_merge_that_takes_too_long_is_not_repeated_and_says_what_helps,
        the_location_decides_whether_and_for_how_long,
        the_location_limits_the_freeze,
        the_location_limits_the_wait_for_space,
    }
    downloads {
        a_link_says_for_how_long_a_storage_may_send_the_bytes_itself,
        who_is_sent_to_the_storage_is_in_the_audit_log_and_the_address_is_not,
    }
    draining {
        an_image_comes_to_the_hypervisor_that_needs_it,
        a_copy_that_fails_fails_the_deployment_until_it_is_retried,
        an_image_is_read_from_an_agent_that_serves_it,
        an_image_is_copied_when_the_agent_that_serves_it_goes_away,
        a_drained_storage_moves_its_images_and_can_be_removed,
        images_that_fit_nowhere_hold_up_no_other,
        a_file_that_is_still_read_is_removed_later,
        an_image_that_is_deleted_while_it_moves_leaves_nothing,
        a_move_that_fails_is_tried_later_and_one_that_is_not_wanted_stops,
    }
    estimates {
        estimates_learn_from_what_captures_took,
    }
    events {
        events_have_no_gaps_under_concurrency,
        a_follower_resumes_or_learns_that_it_cannot,
        admins_follow_image_storages,
        a_wait_ends_with_the_change,
        another_control_plane_follows_it,
        waiting_tasks_have_events_when_the_queue_is_reordered,
    }
    exports {
        an_image_is_exported_once_and_downloaded,
        what_forbids_an_export_says_so,
        exports_are_removed_on_request_in_time_and_with_their_image,
        a_scan_knows_exports_and_a_storage_with_some_stays,
        a_destination_has_its_secrets_until_the_task_ends,
    }
    finding {
        every_list_agrees_with_a_model,
        a_search_finds_what_users_read,
        tags_are_changed_searched_and_removed,
        a_protected_image_is_not_deleted,
        a_deletion_that_failed_shows_and_is_tried_again,
        a_list_of_ids_holds_what_is_visible,
    }
    limits {
        two_admins_do_not_overwrite_each_others_changes,
        of_200_simultaneous_captures_the_free_slots_succeed,
        of_200_simultaneous_captures_those_that_fit_succeed,
        an_own_limit_counts_the_images_of_all_locations,
        a_failed_capture_takes_no_slot_and_its_retry_asks_for_one,
        a_key_makes_one_image_however_often_it_is_sent,
        what_forbids_a_capture_says_so,
        deleting_frees_the_slot_and_leaves_instances_alone,
    }
    metering {
        the_clock_of_an_image_follows_it,
        what_failed_or_belongs_to_the_provider_costs_nothing,
        a_repaired_size_splits_and_a_lost_file_costs_nothing,
        an_import_costs_from_its_end_on,
        the_clock_of_an_instance_follows_it,
        nothing_changes_inside_of_a_sealed_hour,
    }
    metadata {
        metadata_goes_from_an_image_to_its_instances_and_their_images,
        metadata_that_an_image_cannot_have_changes_nothing,
    }
    pages {
        pages_join_to_the_whole_list,
        a_token_belongs_to_its_list,
    }
    queueing {
        captures_wait_for_their_turn_and_say_why,
        the_number_of_captures_at_once_is_changed,
        tasks_of_an_instance_keep_their_order,
        a_waiting_claim_wakes_up,
        an_agent_takes_no_more_than_it_has_room_for,
        a_task_is_claimed_once,
    }
    reinstall {
        a_disk_is_written_anew_and_the_instance_stays_what_it_is,
        a_reinstallation_that_fails_changes_nothing,
        what_forbids_a_reinstallation_says_so,
    }
    imports {
        an_upload_is_an_image_from_the_request_on,
        what_is_found_inside_is_kept_and_shown_on,
        an_import_takes_a_slot_and_gives_it_back,
        an_agent_reserves_what_an_image_takes,
        the_address_of_an_import_is_sealed_until_its_end,
        imports_obey_the_location,
        admins_import_stock_images,
        an_object_has_its_secrets_until_the_import_ends,
    }
    isos {
        an_iso_is_registered_edited_and_removed,
        an_iso_is_mounted_and_ejected,
        disks_are_attached_up_to_a_limit_and_detached,
        a_system_is_installed_on_an_empty_disk,
    }
    saved {
        keys_are_saved_recognised_renamed_and_deleted,
        scripts_are_saved_changed_and_deleted,
        what_is_saved_belongs_to_its_account_alone,
        of_simultaneous_requests_as_many_are_saved_as_fit,
        an_instance_gets_copies_of_what_is_saved,
    }
    secrets {
        secrets_are_sealed_and_only_named,
        agents_get_the_secrets_of_their_own_storages,
        secrets_are_changed_and_removed,
        a_rotation_seals_everything_again,
        a_sealed_secret_opens_in_its_own_place_only,
        a_connection_test_has_its_own_secrets_until_it_ends,
    }
    sharing {
        a_shared_image_is_deployed_until_its_share_is_revoked,
        a_retry_follows_the_rules_of_a_new_deployment,
        an_expired_share_permits_nothing,
        of_simultaneous_offers_as_many_as_fit_are_accepted,
        what_forbids_a_share_says_so,
        both_sides_follow_a_share,
        the_deletion_of_an_image_ends_its_shares,
    }
    start {
        the_first_start_can_be_repeated,
        a_customer_account_is_created_once,
        a_stock_image_is_found_by_its_file,
    }
    storage_kinds {
        kinds_come_from_the_agents_and_conflicts_are_named,
        settings_are_checked_against_the_schema_of_their_kind,
    }
    storages {
        each_hypervisor_has_its_own_health,
        a_storage_that_cannot_be_written_takes_no_capture,
        simultaneous_captures_never_overbook_a_storage,
        a_capture_that_ends_without_an_image_gives_its_room_back,
        a_retry_finds_another_storage_when_its_own_takes_nothing,
        the_request_or_the_weight_decides_where_an_image_goes,
        a_folder_of_one_machine_is_bound_once,
        a_storage_is_changed_by_who_has_read_it,
        what_is_needed_is_neither_unbound_nor_deleted,
        places_that_nothing_refers_to_are_deleted,
        the_figures_of_storages_are_published,
        a_lost_lease_keeps_its_reservation,
    }
    scan {
        a_scan_finds_every_fault_and_nothing_else,
        a_young_object_is_an_orphan_an_hour_later_and_customers_see_none,
        what_changes_during_a_scan_is_no_fault,
        a_report_counts_under_its_own_lease_only,
        a_plan_changes_nothing_and_applying_does_what_it_says,
        what_is_used_is_never_deleted,
        an_image_of_0_bytes_repairs_itself,
        scans_start_by_themselves_and_the_quarantine_ends,
        a_scan_is_deep_after_a_month_and_of_one_storage_at_a_time,
    }
    tasks {
        a_capture_goes_all_the_way,
        a_lost_answer_changes_nothing,
        an_expired_lease_is_taken_back_once,
        a_restarted_control_plane_waits_for_its_agents,
        an_agent_killed_at_any_point_leaves_nothing_stuck,
        an_agent_that_is_shut_down_costs_no_attempt,
        a_failure_is_repeated_with_pauses,
        a_cancelled_task_ends,
        an_instance_is_stopped_during_a_capture_on_request,
        a_deadline_ends_a_task,
        progress_never_goes_back,
        a_level_not_reached_is_a_failure,
        customers_read_no_technical_detail_and_admins_do,
        a_failed_deletion_is_tried_again,
        a_failed_deployment_can_be_retried,
        reports_that_make_no_sense_are_refused,
        an_interruption_that_made_progress_does_not_count_as_an_attempt,
    }
    webhooks {
        events_are_delivered_in_their_order_and_none_is_left_out,
        a_receiver_that_fails_for_days_is_given_up_and_misses_nothing,
        a_webhook_is_that_of_its_account,
    }
}

/// One connection for everything: nothing may read past the transaction that it holds.
#[tokio::test]
async fn in_memory_a_capture_goes_all_the_way() {
    let world = support::World::open(imprint_store::Target::SqliteMemory).await;
    tasks::a_capture_goes_all_the_way(world).await;
}

#[tokio::test]
async fn in_memory_a_deployment_goes_all_the_way() {
    let world = support::World::open(imprint_store::Target::SqliteMemory).await;
    tasks::a_failed_deployment_can_be_retried(world).await;
}

#[tokio::test]
async fn in_memory_an_image_comes_to_the_hypervisor_that_needs_it() {
    let world = support::World::open(imprint_store::Target::SqliteMemory).await;
    draining::an_image_comes_to_the_hypervisor_that_needs_it(world).await;
}
