/* commands: those of pocadm, one function each; tables in main.c. */
#ifndef CLIENTS_POCADM_COMMANDS_H
#define CLIENTS_POCADM_COMMANDS_H

#include "clients/cli/command.h"

int pocadm_cmd_init(struct cli *cli);
int pocadm_cmd_state_enrol(struct cli *cli);
int pocadm_cmd_state_list(struct cli *cli);
int pocadm_cmd_state_suspend(struct cli *cli);
int pocadm_cmd_state_lift(struct cli *cli);
int pocadm_cmd_state_replace(struct cli *cli);
int pocadm_cmd_trust_draft(struct cli *cli);
int pocadm_cmd_trust_publish(struct cli *cli);
int pocadm_cmd_document_publish(struct cli *cli);
int pocadm_cmd_document_withdraw(struct cli *cli);
int pocadm_cmd_document_list(struct cli *cli);
int pocadm_cmd_document_show(struct cli *cli);
int pocadm_cmd_document_history(struct cli *cli);
int pocadm_cmd_import(struct cli *cli);
int pocadm_cmd_check(struct cli *cli);
int pocadm_cmd_backup(struct cli *cli);
int pocadm_cmd_restore(struct cli *cli);
int pocadm_cmd_signed(struct cli *cli);
int pocadm_cmd_remind(struct cli *cli);
int pocadm_cmd_stats(struct cli *cli);
int pocadm_cmd_metrics(struct cli *cli);
int pocadm_cmd_reload(struct cli *cli);
int pocadm_cmd_key_rotate(struct cli *cli);
int pocadm_cmd_ping_start(struct cli *cli);
int pocadm_cmd_ping_cancel(struct cli *cli);
int pocadm_cmd_ping_report(struct cli *cli);

#endif
