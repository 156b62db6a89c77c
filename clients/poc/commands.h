/* commands: the commands, one function each; tables in main.c. */
#ifndef CLIENTS_POC_COMMANDS_H
#define CLIENTS_POC_COMMANDS_H

#include "clients/cli/command.h"

int poc_cmd_lookup(struct cli *cli);
int poc_cmd_verify(struct cli *cli);
int poc_cmd_history(struct cli *cli);
int poc_cmd_sync(struct cli *cli);
int poc_cmd_status(struct cli *cli);
int poc_cmd_search(struct cli *cli);
int poc_cmd_export(struct cli *cli);
int poc_cmd_readers(struct cli *cli);

int poc_cmd_publish(struct cli *cli);
int poc_cmd_confirm(struct cli *cli);
int poc_cmd_withdraw(struct cli *cli);
int poc_cmd_edit(struct cli *cli);

int poc_cmd_setup(struct cli *cli);
int poc_cmd_user_invite(struct cli *cli);
int poc_cmd_user_add(struct cli *cli);
int poc_cmd_user_remove(struct cli *cli);
int poc_cmd_user_list(struct cli *cli);
int poc_cmd_key_new(struct cli *cli);
int poc_cmd_key_show(struct cli *cli);
int poc_cmd_key_verified(struct cli *cli);
int poc_cmd_key_rotate(struct cli *cli);
int poc_cmd_key_announce(struct cli *cli);

int poc_cmd_state_new(struct cli *cli);
int poc_cmd_state_draft(struct cli *cli);
int poc_cmd_state_submit(struct cli *cli);

#endif
