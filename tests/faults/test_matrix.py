"""The faults that the program must bear, by number, and the tests that show each.

python -m pytest tests/faults                                       # all, minutes
python -m pytest tests/faults -m "not slow"                         # two minutes
COMPACTER_FAULT_KILLS=200 python -m pytest tests/faults/test_kills.py -k any_moment
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# What is done, and `file: test, test` below tests/.
FAULTS = {
    # Kills and going on.
    1: ("kill -9 at any moment, in a save too", """
        faults/test_kills: a_training_killed_at_any_moment_ends_with_the_same_bits,
            a_kill_at_any_point_of_one_save_loses_nothing,
            a_kill_at_any_point_of_a_run_loses_nothing,
            metrics_are_on_the_disk_before_the_state_that_follows_them,
            a_pretraining_killed_at_any_moment_ends_with_the_same_bits
        faults/test_going_on: a_run_that_was_killed_at_its_very_beginning_begins_again,
            a_state_that_is_there_is_not_written_again
        faults/test_power_loss: a_save_over_another_leaves_one_of_the_two
        adapters/test_adapter_file: a_kill_at_any_line_of_a_save_leaves_an_adapter_that_loads,
            kills_at_random_moments_never_lose_a_save_that_returned
        commands/test_pretrain: a_process_that_was_killed_goes_on_from_its_last_save
     """),
    2: ("killed and gone on with: the bits of a run that never stopped", """
        faults/test_kills: a_training_killed_at_any_moment_ends_with_the_same_bits,
            a_command_killed_in_the_midst_goes_on_to_the_same_bits
        commands/test_pretrain: a_run_interrupted_twice_is_the_run_that_never_stopped
     """),
    3: ("killed twice at the same update", """
        faults/test_going_on: a_run_that_is_killed_again_where_it_was_killed_comes_no_less_far
     """),
    4: ("Ctrl-C, once and twice", """
        faults/test_stops: the_first_signal_saves_and_tells_a_command_that_goes_on,
            the_second_signal_leaves_at_once_with_the_last_save_whole,
            a_second_signal_in_the_midst_of_a_save_costs_that_save_alone
        faults/test_commands: ctrl_c_while_the_frameworks_load_is_no_traceback
        commands/test_pretrain: ctrl_c_in_the_command_exits_130_and_says_how_to_go_on
        commands/test_predict: an_interrupted_output_is_gone_on_with_and_is_the_same
     """),
    5: ("SIGTERM", """
        faults/test_stops: the_first_signal_saves_and_tells_a_command_that_goes_on,
            a_signal_while_it_scores_goes_on_to_the_same_bits
     """),
    6: ("SIGHUP, closed streams, a terminal that goes away", """
        faults/test_stops: the_first_signal_saves_and_tells_a_command_that_goes_on,
            a_hangup_that_is_ignored_as_under_nohup_stops_nothing,
            a_command_under_nohup_outlives_its_terminal,
            a_terminal_that_goes_away_is_no_reason_to_end
        faults/test_commands: a_training_goes_on_without_stderr,
            a_reader_that_has_seen_enough_ends_a_command_without_a_word,
            a_closed_stdout_is_one_line,
            a_result_that_cannot_be_printed_is_an_error_and_the_run_is_whole
     """),
    7: ("a finished run is gone on with", """
        faults/test_going_on: a_finished_run_has_nothing_to_go_on_with,
            a_damaged_result_is_written_again_from_the_states_or_nothing_is_touched
     """),
    8: ("another recipe, other rows, another backbone", """
        faults/test_going_on: another_recipe_is_refused_by_all_keys_that_differ,
            a_recipe_that_a_loss_of_power_emptied_is_known_from_the_state,
            other_rows_and_another_backbone_are_refused_with_both_fingerprints
     """),
    9: ("a run in use, and the lock of a process that died", """
        faults/test_going_on: a_run_in_use_is_refused_by_every_command_that_would_write_it,
            of_two_that_go_on_at_once_one_does, a_lock_that_nobody_holds_is_taken_whoever_it_names
     """),
    # Disks.
    10: ("a full disk at a save", """
        faults/test_disks: a_full_disk_says_what_was_needed_and_keeps_what_was_saved,
            a_full_disk_tells_the_command_that_goes_on
        adapters/test_adapter_file: a_full_disk_leaves_the_adapter_before_it
     """),
    11: ("a full disk at metrics, record and result", """
        faults/test_disks: a_full_disk_at_the_metrics_does_what_the_recipe_says,
            metrics_that_cannot_be_written_are_told_once_and_the_training_goes_on,
            a_result_that_cannot_be_written_is_written_by_the_next_try,
            a_start_that_cannot_be_written_down_is_an_error_of_one_line
        commands/test_answer_file: a_full_disk_keeps_what_was_written
     """),
    12: ("an output that is read-only", """
        faults/test_disks: a_disk_that_is_read_only_is_told_before_anything_is_loaded
        faults/test_commands: an_output_that_is_read_only_is_told_before_anything_is_loaded
     """),
    13: ("the directory is removed, or replaced, while it trains", """
        faults/test_disks: a_directory_that_is_removed_ends_the_training_at_its_next_update,
            nothing_is_written_into_a_directory_that_took_its_place,
            a_run_that_was_moved_away_goes_on_where_it_is_now,
            what_is_removed_from_a_running_directory_is_made_again_or_missed
     """),
    14: ("leftovers of a save that was killed", """
        faults/test_damaged_states: leftovers_of_a_killed_save_are_ignored_and_swept,
            what_somebody_else_put_into_a_run_stays
     """),
    15: ("less free than a save takes", """
        faults/test_disks: a_disk_without_room_for_one_save_is_told_before_the_first_update,
            a_disk_that_may_become_full_is_told_and_tried,
            a_run_is_not_replaced_where_there_is_no_room_for_another
     """),
    16: ("a save that is refused", """
        faults/test_disks: a_save_that_is_refused_never_counts_as_saved
     """),
    # Damage.
    17: ("truncated files", """
        faults/test_damaged_states: a_damaged_state_is_passed_over,
            a_run_goes_on_from_the_state_before_and_says_so_or_fails_if_strict
        adapters/test_adapter_file: truncated_weights_are_noticed_with_both_sizes,
            a_truncated_manifest_is_refused_wherever_it_was_cut
     """),
    18: ("flipped bits", """
        faults/test_damaged_states: no_flipped_bit_is_taken_for_another_state,
            a_run_goes_on_from_the_state_before_and_says_so_or_fails_if_strict
        adapters/test_adapter_file: every_flipped_byte_of_the_weights_is_noticed
        pretraining/test_state: a_byte_that_changed_is_noticed
     """),
    19: ("an empty or missing manifest", """
        faults/test_damaged_states: a_damaged_state_is_passed_over
        adapters/test_adapter_file: a_missing_manifest_is_named
     """),
    20: ("missing weights", """
        faults/test_damaged_states: a_damaged_state_is_passed_over
        adapters/test_adapter_file: missing_weights_are_named
     """),
    21: ("missing moments of the optimizer", """
        faults/test_damaged_states: a_damaged_state_is_passed_over,
            a_run_goes_on_from_the_state_before_and_says_so_or_fails_if_strict
     """),
    22: ("all saved states damaged", """
        faults/test_damaged_states:
            where_all_are_damaged_it_fails_with_every_reason_and_touches_nothing
     """),
    23: ("an adapter of another backbone, method or task", """
        adapters/test_adapter_file: another_backbone_is_refused_with_both_fingerprints,
            another_vocabulary_is_refused_with_both_hashes
        adapters/test_restoring: a_recipe_of_another_adapter_is_refused
        commands/test_evaluate: an_adapter_of_another_backbone_exits_1_with_both_fingerprints
     """),
    24: ("a later format", """
        faults/test_going_on: a_later_format_is_refused_with_both_versions_and_its_writer
        adapters/test_adapter_file: a_newer_format_is_refused_with_both_versions_and_its_writer
     """),
    25: ("what earlier versions wrote", """
        fixtures/test_fixtures: an_adapter_answers_as_it_did, a_run_scores_as_it_recorded,
            an_unfinished_run_ends_as_the_one_that_was_never_interrupted,
            an_unfinished_pretraining_ends_near_where_a_whole_one_did
     """),
    # Numbers.
    26: ("a loss that is not finite", """
        faults/test_numbers: an_update_that_is_not_finite_stops_and_is_named,
            an_update_that_is_not_finite_is_left_out_if_the_recipe_says_so,
            a_state_that_is_not_finite_is_not_saved
        commands/test_pretrain: a_loss_that_is_not_finite_exits_1_with_advice_and_keeps_the_state
     """),
    27: ("weights that are not finite", """
        faults/test_hostile_weights: weights_that_are_not_finite_are_named,
            a_command_on_weights_that_are_not_finite_fails_with_one_line,
            a_backbone_that_is_not_finite_is_refused_by_its_weight
     """),
    28: ("a gradient that is not finite", """
        faults/test_numbers: an_update_that_is_not_finite_stops_and_is_named
     """),
    29: ("answers that are no label, ids beyond the vocabulary", """
        training/test_scoring: a_prediction_that_is_no_label_is_counted_and_wrong
        t5/test_vocabulary: decode_skips_ids_beyond_the_vocabulary
     """),
    # Data.
    30: ("no network and no data", """
        faults/test_environments:
            without_network_and_data_it_takes_a_moment_to_say_what_there_is_to_do
        data/test_sources: offline_with_nothing_names_every_way_out_and_asks_no_network,
            without_network_it_says_so_and_names_the_host
     """),
    31: ("another zip, a web page as a zip", """
        data/test_original_files: a_web_page_saved_as_zip_is_called_that,
            superglues_rte_zip_is_refused_with_what_was_expected
        commands/test_train: a_dry_run_refuses_a_web_page_saved_as_a_zip
     """),
    32: ("dropped and short rows, labels, encodings, line ends, quotes", """
        data/test_original_files: line_ends_and_a_byte_order_mark_do_not_matter, quotes_are_text,
            a_short_row_is_named_by_its_line, a_byte_that_is_not_utf8_is_named_by_its_line,
            a_deleted_line_is_noticed_and_no_other_line_is_blamed,
            a_wrong_label_is_refused_with_its_file_and_line
        data/test_original_lines: a_dropped_row_is_refused_with_both_counts
        data/test_text_rows: a_last_line_needs_no_end
        data/test_text_files: a_text_of_windows_is_refused_by_its_line
     """),
    33: ("two preparations at once", """
        data/test_tfds_preparation: two_processes_that_prepare_at_once_both_succeed
     """),
    34: ("a preparation that was killed", """
        data/test_tfds_preparation: a_killed_preparation_leaves_nothing_that_looks_prepared,
            a_preparation_that_was_killed_is_done_anew
     """),
    35: ("a flipped byte of a shard", """
        data/test_tfds_directory:
            a_flipped_bit_of_array_record_never_changes_a_row_in_silence,
            a_flipped_letter_of_tfrecord_is_noticed
     """),
    36: ("a label longer than what is decoded", """
        recipe/test_recipe: a_label_longer_than_the_target_length_is_refused_before_any_training
     """),
    37: ("members that point outside, bombs", """
        data/test_original_files: members_that_point_outside_are_never_unpacked,
            a_member_that_unpacks_to_too_much_is_refused,
            a_bomb_that_says_it_is_small_is_not_unpacked
     """),
    38: ("prepared data that is read-only", """
        faults/test_disks: prepared_data_on_a_disk_that_is_read_only_is_read
        data/test_tfds_directory: reading_writes_nothing
     """),
    # Hostile files.
    39: ("a pickle under our name", """
        adapters/test_adapter_file: a_pickle_under_the_weights_name_is_refused_and_not_executed
        data/test_token_cache: a_pickle_in_the_cache_is_never_opened
     """),
    40: ("a preset that names classes", """
        t5/test_loading: no_class_but_that_of_a_t5_is_made
        faults/test_hostile_weights:
            a_config_that_no_t5_has_is_refused_before_anything_is_made
     """),
    41: ("paths that lead out, links", """
        faults/test_going_on: a_run_behind_a_link_goes_on_and_the_link_stays,
            nothing_is_written_where_a_link_of_a_run_leads,
            a_state_whose_file_is_a_link_to_elsewhere_is_damaged
        recipe/test_shipped: parts_of_a_name_and_ways_around_it_are_misses
        t5/test_loading: an_index_that_names_what_is_not_beside_it_is_refused
        faults/test_hostile_weights: a_link_out_of_the_directory_is_not_followed
     """),
    42: ("the umask", """
        faults/test_disks: the_mode_of_what_is_written_follows_the_umask
        adapters/test_adapter_file: the_umask_decides_who_may_read
     """),
    # Machines.
    43: ("no TensorFlow", """
        faults/test_environments: a_machine_without_tensorflow_trains_scores_and_answers
        commands/test_train: a_training_process_runs_on_torch_without_tensorflow
     """),
    44: ("help, version and wrong options import no framework", """
        test_light_imports: help_imports_nothing_heavy, light_commands_import_nothing_heavy
     """),
    45: ("memory that runs out", """
        faults/test_environments: memory_that_runs_out_gives_advice_and_keeps_what_was_saved
        training/test_memory:
            a_training_run_out_of_memory_fails_with_advice_and_keeps_what_is_saved
     """),
    46: ("clocks that jump, runs of the same second", """
        faults/test_environments: a_clock_that_jumps_changes_nothing,
            runs_of_the_same_second_have_directories_of_their_own
     """),
    47: ("no terminal, a narrow one, no colours, other encodings", """
        faults/test_environments: no_terminal_width_or_encoding_ends_a_training,
            a_terminal_of_any_width_shows_a_training_to_its_end
        faults/test_commands: signs_that_an_encoding_lacks_are_replaced,
            a_width_that_is_none_hides_nothing
     """),
    # Servers.
    48: ("clients that go, bodies without end, more than can wait", """
        serving/test_asgi: work_for_a_client_that_is_gone_ends,
            a_body_without_a_length_is_read_to_the_bound_alone_and_the_rest_thrown_away,
            all_bodies_together_are_bounded_and_let_go_of_when_answered,
            a_body_that_does_not_come_is_not_waited_for
        serving/test_batching:
            beyond_the_bound_nobody_is_accepted_and_those_who_were_are_answered,
            who_gives_up_is_not_computed_and_leaves_room
        serving/test_program: a_gigabyte_is_refused_in_little_memory_and_files_may_go
     """),
    49: ("a server that is stopped, or whose adapters' files go", """
        serving/test_program: sigterm_under_load_loses_nothing_that_was_accepted
        serving/test_app: at_the_end_nothing_new_is_accepted_and_what_was_is_answered
        serving/test_served: files_that_are_removed_are_not_missed,
            a_damaged_one_is_refused_by_its_name
     """),
}  # fmt: skip


def named_in(text):
    """`(file, name)` of all tests that an entry names."""
    found, file = [], None
    for word in text.replace(",", " ").split():
        if word.endswith(":"):
            file = f"{word[:-1]}.py"
        else:
            found.append((file, f"test_{word}"))
    return found


def test_every_fault_has_its_number():
    assert list(FAULTS) == list(range(1, 50))


@pytest.mark.parametrize("number", FAULTS)
def test_the_named_in_a_fault_are_there(number):
    named = named_in(FAULTS[number][1])
    assert named
    for file, name in named:
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, file
