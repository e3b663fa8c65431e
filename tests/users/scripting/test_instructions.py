"""What a text asks for, in many ways to say it."""

from __future__ import annotations

from collections import Counter

import pytest

from tau2_gym.domains.base import get_domain
from tau2_gym.users.scripting.errands import Errand, Flip, Query, Recount, Use, Verify
from tau2_gym.users.scripting.instructions import Reading, read
from tau2_gym.users.scripting.phone import SWITCHES
from tau2_gym.users.scripting.toolbox import toolbox

TOOLS = toolbox(list(get_domain("telecom").user_tools.values()))


def brief(errand: Errand) -> str:
    """An errand in a few words: `airplane mode off`, `reboot_device if not solved`, …"""
    match errand.what:
        case Use(tool=tool, arguments=arguments):
            values = ", ".join(f"{name}={value}" for name, value in arguments.items())
            text = f"{tool}({values})" if values else tool
        case Flip(switch=switch, on=on):
            text = f"{switch} {'on' if on else 'off'}"
        case Verify():
            text = "verify"
        case Recount(tool=tool):
            text = f"recount {tool}"
        case Query(question=question):
            text = f"ask: {question}"
    if errand.when is None:
        return text
    look = errand.when.look if isinstance(errand.when.look, str) else errand.when.look.tool
    return f"{text} if {'' if errand.when.expected else 'not '}{look}"


def asked(text: str, topic: str | None = None) -> list[str]:
    return [brief(errand) for errand in read(text, TOOLS, topic).errands]


URL = "http://mms.carrier.com/mms/wapenc"

PHRASINGS = [
    (
        "Please change the APN to 'internet'.",
        ["set_apn_settings(apn_settings={'apn_name': 'internet'})"],
    ),
    (
        f"Could you set the MMSC URL to {URL}?",
        [f"set_apn_settings(apn_settings={{'mmsc_url': '{URL}'}})"],
    ),
    (
        f"Please update your APN settings: APN name internet, MMSC URL {URL}.",
        [f"set_apn_settings(apn_settings={{'apn_name': 'internet', 'mmsc_url': '{URL}'}})"],
    ),
    ("Please turn off airplane mode.", ["airplane mode off"]),
    ("Could you turn airplane mode off?", ["airplane mode off"]),
    ("switch flight mode off", ["airplane mode off"]),
    ("Please disable Airplane Mode on your phone.", ["airplane mode off"]),
    ("Make sure airplane mode is off.", ["airplane mode off"]),
    ("Take your phone out of airplane mode please.", ["airplane mode off"]),
    ("Please put the phone in airplane mode", ["airplane mode on"]),
    ("toggle airplane mode", ["toggle_airplane_mode"]),
    ("Please toggle airplane mode on your phone.", ["toggle_airplane_mode"]),
    ("Please do toggle_airplane_mode", ["toggle_airplane_mode"]),
    ("toggle_airplane_mode", ["toggle_airplane_mode"]),
    ("toggle_airplane_mode()", ["toggle_airplane_mode"]),
    ("Is airplane mode on?", ["check_network_status"]),
    ("What does the status bar show?", ["check_status_bar"]),
    ("Could you check your status bar and tell me what it says?", ["check_status_bar"]),
    ("Please look at the top of your screen and tell me what icons you see.", ["check_status_bar"]),
    ("Can you tell me what's on the status bar?", ["check_status_bar"]),
    ("Do you have any signal?", ["check_status_bar"]),
    ("Please check your network status.", ["check_network_status"]),
    ("Can you check your phone's connection status?", ["check_network_status"]),
    ("Let's check the network connection status", ["check_network_status"]),
    ("run check_network_status", ["check_network_status"]),
    ("What network mode is your phone set to?", ["check_network_mode_preference"]),
    ("Please check your network mode preference.", ["check_network_mode_preference"]),
    ("Check what type of cellular network your phone prefers.", ["check_network_mode_preference"]),
    ("Could you tell me the preferred network type?", ["check_network_mode_preference"]),
    ("Which network type are you connected to?", ["check_network_status"]),
    (
        "Please set network mode to 4G/5G preferred.",
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    (
        "Set your preferred network mode to 5G",
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    (
        'Could you change your network mode preference to "4g_5g_preferred"?',
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    (
        "run set_network_mode_preference(mode='4g_5g_preferred')",
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    (
        "Please do set_network_mode_preference with mode 4g_only.",
        ["set_network_mode_preference(mode=4g_only)"],
    ),
    ("Switch to 5G please", ["set_network_mode_preference(mode=4g_5g_preferred)"]),
    (
        "Change the network preference from 2G to an option that includes 5G",
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    ("Please set your network mode.", ["ask: Which network mode should I choose?"]),
    ("set_network_mode_preference", ["ask: Which network mode should I choose?"]),
    ("Please run a speed test.", ["run_speed_test"]),
    ("Could you test your internet speed?", ["run_speed_test"]),
    ("How fast is your internet now?", ["run_speed_test"]),
    ("Please rerun the speed test and tell me the result.", ["run_speed_test"]),
    ("Is your mobile data working now?", ["run_speed_test"]),
    ("Check your SIM card status.", ["check_sim_status"]),
    ("Is your SIM card active?", ["check_sim_status"]),
    ("Can you verify whether your SIM is working correctly?", ["check_sim_status"]),
    ("What is the status of your SIM?", ["check_sim_status"]),
    ("reseat the SIM", ["reseat_sim_card"]),
    ("Please re-seat your SIM card.", ["reseat_sim_card"]),
    ("take the SIM card out and put it back", ["reseat_sim_card"]),
    ("Remove your SIM card and then re-insert it.", ["reseat_sim_card"]),
    ("Try removing and reinserting your SIM card.", ["reseat_sim_card"]),
    ("Please turn mobile data on.", ["mobile data on"]),
    ("Turn on your mobile data", ["mobile data on"]),
    ("Could you enable cellular data?", ["mobile data on"]),
    ("Switch your data off.", ["mobile data off"]),
    ("toggle_data", ["toggle_data"]),
    ("Please toggle mobile data.", ["toggle_data"]),
    ("Is mobile data enabled?", ["check_network_status"]),
    ("Please turn on data roaming.", ["data roaming on"]),
    ("Enable roaming on your phone.", ["data roaming on"]),
    ("Turn data roaming on in your phone settings.", ["data roaming on"]),
    ("Make sure that data roaming is enabled.", ["data roaming on"]),
    ("Disable roaming please", ["data roaming off"]),
    ("Is data roaming turned on?", ["check_network_status"]),
    ("Check whether data saver is on.", ["check_data_restriction_status"]),
    ("Are there any data restrictions active on your phone?", ["check_data_restriction_status"]),
    ("Please check your data restriction status.", ["check_data_restriction_status"]),
    ("Could you see if Data Saver mode is enabled?", ["check_data_restriction_status"]),
    ("Turn off data saver.", ["data saver off"]),
    ("Please switch Data Saver mode off", ["data saver off"]),
    ("disable data saver mode", ["data saver off"]),
    ("Turn data saving on", ["data saver on"]),
    ("Please check your APN settings.", ["check_apn_settings"]),
    ("What are your APN settings?", ["check_apn_settings"]),
    ("Is the MMSC URL set?", ["check_apn_settings"]),
    ("Look at your access point names.", ["check_apn_settings"]),
    ("Reset the APN settings to default.", ["reset_apn_settings"]),
    ("Please reset your APN settings.", ["reset_apn_settings"]),
    ("Restore the default APN settings", ["reset_apn_settings"]),
    ("Set your APN settings back to the carrier defaults.", ["reset_apn_settings"]),
    ("Set your APN name to internet.", ["set_apn_settings(apn_settings={'apn_name': 'internet'})"]),
    (
        'set_apn_settings(apn_settings={"apn_name": "internet", "mmsc_url": "http://mms.carrier.com/mms/wapenc"})',
        [
            "set_apn_settings(apn_settings={'apn_name': 'internet', 'mmsc_url': 'http://mms.carrier.com/mms/wapenc'})"
        ],
    ),
    ("Please update your APN settings.", ["ask: Which APN settings should I enter?"]),
    ("Is your Wi-Fi on?", ["check_wifi_status"]),
    ("Check your wifi status", ["check_wifi_status"]),
    ("Are you connected to Wi-Fi?", ["check_wifi_status"]),
    ("Please turn on Wi-Fi.", ["Wi-Fi on"]),
    ("Turn your wifi off", ["Wi-Fi off"]),
    ("toggle wifi", ["toggle_wifi"]),
    ("Is Wi-Fi calling on?", ["check_wifi_calling_status"]),
    ("Please check your Wi-Fi Calling status.", ["check_wifi_calling_status"]),
    ("Check if wifi calling is enabled", ["check_wifi_calling_status"]),
    ("turn wifi calling off", ["Wi-Fi calling off"]),
    ("Please disable Wi-Fi Calling.", ["Wi-Fi calling off"]),
    ("Toggle Wi-Fi calling off", ["Wi-Fi calling off"]),
    ("Are you using a VPN?", ["check_vpn_status"]),
    ("Please check your VPN status.", ["check_vpn_status"]),
    ("Is a VPN connected?", ["check_vpn_status"]),
    ("disconnect the VPN", ["disconnect_vpn"]),
    ("Please turn off your VPN.", ["disconnect_vpn"]),
    ("Could you disconnect from the VPN?", ["disconnect_vpn"]),
    ("Stop using the VPN", ["disconnect_vpn"]),
    ("Connect to your VPN.", ["connect_vpn"]),
    ("Please turn on the VPN", ["connect_vpn"]),
    ("Please connect your VPN again.", ["connect_vpn"]),
    ("Which apps are installed?", ["check_installed_apps"]),
    ("Please list your installed apps.", ["check_installed_apps"]),
    ("Check which apps are installed on your phone", ["check_installed_apps"]),
    ("check the status of the messaging app", ["check_app_status(app_name=messaging)"]),
    ("What is the app status of the browser app?", ["check_app_status(app_name=browser)"]),
    ("Could you check the messaging app's details?", ["check_app_status(app_name=messaging)"]),
    ('check_app_status(app_name="messaging")', ["check_app_status(app_name=messaging)"]),
    ("check_app_status(messaging)", ["check_app_status(app_name=messaging)"]),
    (
        "Which permissions does the messaging app have?",
        ["check_app_permissions(app_name=messaging)"],
    ),
    (
        "Please check the permissions of your messaging app.",
        ["check_app_permissions(app_name=messaging)"],
    ),
    ("Check the app permissions.", ["ask: Which app do you mean?"]),
    (
        "Does the browser app have the storage permission?",
        ["check_app_permissions(app_name=browser)"],
    ),
    (
        "grant the messaging app the storage permission",
        ["grant_app_permission(app_name=messaging, permission=storage)"],
    ),
    (
        "allow SMS and storage permission for the messaging app",
        [
            "grant_app_permission(app_name=messaging, permission=sms)",
            "grant_app_permission(app_name=messaging, permission=storage)",
        ],
    ),
    (
        "Please give your messaging app SMS access.",
        ["grant_app_permission(app_name=messaging, permission=sms)"],
    ),
    (
        "Please grant your messaging app both storage and SMS permissions.",
        [
            "grant_app_permission(app_name=messaging, permission=storage)",
            "grant_app_permission(app_name=messaging, permission=sms)",
        ],
    ),
    (
        "grant_app_permission('messaging', 'sms')",
        ["grant_app_permission(app_name=messaging, permission=sms)"],
    ),
    (
        "grant_app_permission(app_name='messaging', permission='storage')",
        ["grant_app_permission(app_name=messaging, permission=storage)"],
    ),
    ("Please do grant_app_permission", ["ask: Which app do you mean?"]),
    ("Please grant the messaging app a permission.", ["ask: Which permission do you mean?"]),
    ("Can you send an MMS?", ["can_send_mms"]),
    ("check whether you can send an MMS", ["can_send_mms"]),
    ("Please try to send a picture message.", ["can_send_mms"]),
    ("Try sending an MMS again.", ["can_send_mms"]),
    ("Are you able to send MMS messages now?", ["can_send_mms"]),
    ("restart your phone", ["reboot_device"]),
    ("Please reboot your device.", ["reboot_device"]),
    ("Turn your phone off and on again.", ["reboot_device"]),
    ("Could you power cycle your phone?", ["reboot_device"]),
    ("Turn the phone off, wait ten seconds, and turn it back on.", ["reboot_device"]),
    ("Please check your payment requests.", ["check_payment_request"]),
    ("Check your payment request.", ["check_payment_request"]),
    ("Do you see a payment request?", ["check_payment_request"]),
    (
        "You should see a payment request; please check for it using the check_payment_request tool.",
        ["check_payment_request"],
    ),
    ("accept the bill", ["make_payment"]),
    ("Please pay the bill.", ["make_payment"]),
    ("Please accept the payment request.", ["make_payment"]),
    ("Please make the payment.", ["make_payment"]),
    ("Go ahead and pay your overdue bill.", ["make_payment"]),
    ("make_payment", ["make_payment"]),
    ("Could you connect the VPN?", ["connect_vpn"]),
    ("Please show me which apps are installed.", ["check_installed_apps"]),
    ("Can you see the details of the messaging app?", ["check_app_status(app_name=messaging)"]),
    ("Is there a bill or payment request waiting?", ["check_payment_request"]),
    ("Could you look at your Wi-Fi status?", ["check_wifi_status"]),
    ("Could you check the data restrictions?", ["check_data_restriction_status"]),
]
"""One thing asked for, in plain words or by the tool's name."""

SUBTLETIES = [
    ("Do not turn off airplane mode.", []),
    ("Please don't restart your phone.", []),
    ("There is no need to restart.", []),
    ("No need to restart your phone, just run a speed test.", ["run_speed_test"]),
    ("You don't need to reset your APN settings.", []),
    ("Please avoid toggling airplane mode.", []),
    ("I have enabled roaming on your line.", []),
    (
        "I have enabled roaming on your line, please turn on data roaming on your phone.",
        ["data roaming on"],
    ),
    ("I turned on data roaming on your line.", []),
    ("I've enabled roaming and reset your account.", []),
    ("I will check your VPN status.", []),
    ("Let me check your payment request.", []),
    ("I'm going to restart the service on our side.", []),
    ("I can see that airplane mode is on.", []),
    ("I see that airplane mode is on. Please turn it off.", ["airplane mode off"]),
    ("You have turned off airplane mode.", []),
    ("Have you restarted your phone?", ["recount reboot_device"]),
    ("Did you turn off Wi-Fi calling?", ["check_wifi_calling_status"]),
    ("If airplane mode is on, please turn it off.", ["airplane mode off"]),
    ("If data saver is ON, turn it OFF.", ["data saver off"]),
    ("If your VPN is connected, please disconnect it.", ["disconnect_vpn if check_vpn_status"]),
    ("If the SIM is missing, reseat it.", ["reseat_sim_card if check_sim_status"]),
    ("If the issue persists, restart your phone.", ["reboot_device if not solved"]),
    ("If you're traveling abroad, turn on data roaming.", ["data roaming on if abroad"]),
    (
        "If the storage permission is missing, grant it to the messaging app.",
        [
            "grant_app_permission(app_name=messaging, permission=storage) if not check_app_permissions"
        ],
    ),
    (
        "If your phone supports eSIM, restart it.",
        ['ask: You said "if your phone supports esim" - should I do that now?'],
    ),
    ("Once you have restarted your phone, please run a speed test.", ["run_speed_test"]),
    ("After turning off the VPN, please run a speed test.", ["run_speed_test"]),
    (
        "Please turn off airplane mode, restart your phone and run a speed test.",
        ["airplane mode off", "reboot_device", "run_speed_test"],
    ),
    ("Please turn off data saver and VPN.", ["data saver off", "disconnect_vpn"]),
    ("Please turn on mobile data and data roaming.", ["mobile data on", "data roaming on"]),
    ("Turn airplane mode off and mobile data on.", ["airplane mode off", "mobile data on"]),
    (
        "Please toggle airplane mode on, wait 10 seconds, and then off again.",
        ["airplane mode on", "airplane mode off"],
    ),
    (
        "Reset your APN settings and then reboot your phone.",
        ["reset_apn_settings", "reboot_device"],
    ),
    (
        "Please reset your APN settings, restart your phone, and then check whether you can send an MMS.",
        ["reset_apn_settings", "reboot_device", "can_send_mms"],
    ),
    (
        "Could you run a speed test and let me know if the issue is resolved?",
        ["run_speed_test", "verify"],
    ),
    ("Is your issue resolved now?", ["verify"]),
    ("Does it work now?", ["verify"]),
    ("Please check if the problem is fixed.", ["verify"]),
    ("Would you like to refuel 2 GB of data?", []),
    ("Would you like me to turn on roaming for your line?", []),
    ("How much data would you like to refuel?", []),
    ("Your data usage has exceeded your plan limit.", []),
    ("Could you give me your phone number?", []),
    ("What is your phone number?", []),
    ("Are you currently abroad?", []),
    ("Thank you, John. I found your account.", []),
    ("Great! Is there anything else I can help you with?", []),
    ("YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.", []),
    ("Airplane mode needs to be turned off.", ["airplane mode off"]),
    ("You will need to restart your phone.", ["reboot_device"]),
    ("We need to reset your APN settings.", ["reset_apn_settings"]),
    ("I'd like you to check your SIM card.", ["check_sim_status"]),
    ("I need you to run a speed test.", ["run_speed_test"]),
    ("I recommend turning off data saver mode.", ["data saver off"]),
    ("Let's start by checking your status bar.", ["check_status_bar"]),
    ("Now that airplane mode is off, please check your status bar.", ["check_status_bar"]),
    (
        "Please follow these steps:\n1. Turn off airplane mode\n2. Restart your phone\n3. Run a speed test",
        ["airplane mode off", "reboot_device", "run_speed_test"],
    ),
    ("- Turn on mobile data\n- Turn off **Data Saver**", ["mobile data on", "data saver off"]),
    ("Please turn off Wi-Fi Calling (toggle_wifi_calling).", ["Wi-Fi calling off"]),
    (
        "Please run `check_network_status` and `check_sim_status`.",
        ["check_network_status", "check_sim_status"],
    ),
    ("Please do not call toggle_wifi.", []),
    (
        "Make sure the payment request is correct, and then make the payment.",
        ["check_payment_request", "make_payment"],
    ),
    (
        "Please check your payment requests and, if everything looks correct, accept it.",
        ["check_payment_request", "make_payment"],
    ),
    ("I have sent you a payment request for $65. Please accept it.", ["make_payment"]),
    (
        "I've sent a payment request. Please check it and make the payment.",
        ["check_payment_request", "make_payment"],
    ),
    ("Turn off your phone.", []),
    ("Please restart the messaging app.", []),
    (
        "Could you turn the Wi-Fi calling feature off so that MMS can go through?",
        ["Wi-Fi calling off"],
    ),
    ("Turn off the VPN before running a speed test.", ["disconnect_vpn"]),
    (
        "Grant both required permissions. The messaging app needs storage and SMS.",
        [
            "grant_app_permission(app_name=messaging, permission=storage)",
            "grant_app_permission(app_name=messaging, permission=sms)",
        ],
    ),
    ("Thanks, restart your phone.", ["reboot_device"]),
    ("I understand. Please check it again.", []),
    ("Please turn off airplane mode if it is on.", ["airplane mode off"]),
    (
        "If airplane mode is on, turn it off; otherwise, restart your phone.",
        ["airplane mode off", "reboot_device if not check_network_status"],
    ),
    ("Please don't forget to restart your phone.", ["reboot_device"]),
    ("Why don't you restart your phone?", ["reboot_device"]),
    ("Please ensure that your mobile data is turned on.", ["mobile data on"]),
    ("Check that Wi-Fi calling is off.", ["check_wifi_calling_status"]),
    ("Verify that data roaming is enabled on your device.", ["check_network_status"]),
    ("Are you on 2G?", ["check_network_status"]),
    ("Please tell me whether airplane mode is on or off.", ["check_network_status"]),
    ("Would you mind restarting your phone?", ["reboot_device"]),
    ("What do you see in the status bar?", ["check_status_bar"]),
    ("Do you want me to enable roaming?", []),
    ("You can now turn airplane mode back on.", ["airplane mode on"]),
    ("Airplane mode is on, so your phone has no service.", []),
    ("Your SIM card seems to be missing, so please reseat it.", ["reseat_sim_card"]),
    ("Please go to Settings > Network > Mobile data and turn on Mobile Data.", ["mobile data on"]),
    ("Please open the settings and disable the VPN.", ["disconnect_vpn"]),
    ("Please verify if you can now send MMS.", ["can_send_mms"]),
    ("Please send me the result of a speed test.", ["run_speed_test"]),
    (
        "First, please toggle your airplane mode on and off.",
        ["airplane mode on", "airplane mode off"],
    ),
    ("To fix this, please turn off data saver.", ["data saver off"]),
    ("I'd recommend that you reset your APN settings.", ["reset_apn_settings"]),
    ("I would recommend against restarting your phone.", []),
    ("Please hold while I check your VPN and network status.", []),
    (
        "If you have already restarted your phone, tell me what the status bar shows.",
        ["check_status_bar"],
    ),
    ("Please switch your phone off and back on.", ["reboot_device"]),
    ("Please power it off and on again.", ["reboot_device"]),
    ("Turn off your device, wait a minute, then turn it on again.", ["reboot_device"]),
    ("Please power off your phone and turn it back on.", ["reboot_device"]),
    (
        "Could you turn mobile data and data roaming on and run the speed test again?",
        ["mobile data on", "data roaming on", "run_speed_test"],
    ),
    ("Turn Wi-Fi and your mobile data off.", ["Wi-Fi off", "mobile data off"]),
    ("Turn airplane mode on and then turn it off.", ["airplane mode on", "airplane mode off"]),
    (
        "Please turn on data roaming and turn off data saver.",
        ["data roaming on", "data saver off"],
    ),
    ("Turn on data roaming and mobile data.", ["data roaming on", "mobile data on"]),
    ("I see data saver is on. Is that okay with you?", []),
    ("Airplane mode is on. Please confirm that you would like to proceed.", []),
    ("Airplane mode seems relevant. Is it on?", ["check_network_status"]),
    (
        "Let's look at data saver. Please turn it off and then check it again.",
        ["check_data_restriction_status", "data saver off", "check_data_restriction_status"],
    ),
    ("Data saver is on. Are you abroad at the moment, or at home?", []),
]
"""Negations, reports, conditions, coordination, pronouns."""

MESSAGES = [
    (
        "Thank you, John! I've located your account. To start troubleshooting, could you please check your phone's status bar and let me know what icons or messages you see there?",
        ["check_status_bar"],
    ),
    (
        'I see your phone shows "No Signal." Let\'s check your SIM card next. Could you please check the status of your SIM card and let me know what it says?',
        ["check_sim_status"],
    ),
    (
        "It looks like your SIM card is missing or not detected. Please try re-seating your SIM card: remove it and then reinsert it. After that, please check your status bar and let me know what it shows.",
        ["reseat_sim_card", "check_status_bar"],
    ),
    (
        "Great news! Your service is back. Now, could you please try sending an MMS message again and let me know whether it works?",
        ["can_send_mms", "verify"],
    ),
    (
        "Next, please check if your phone's Data Saver mode is turned on, as this may be limiting your connection speed.",
        ["check_data_restriction_status"],
    ),
    (
        "Please turn off Data Saver mode and then run another speed test. Let me know the result.",
        ["data saver off", "run_speed_test"],
    ),
    (
        'Your network mode preference is set to 2G only, which is why your speeds are slow. Please change it to "4G/5G preferred" and then re-run the speed test.',
        ["set_network_mode_preference(mode=4g_5g_preferred)", "run_speed_test"],
    ),
    (
        "Please change your network mode preference to a setting that includes 4G and 5G.",
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    (
        "I've gone ahead and added 2GB of data to your line. Could you please run another speed test to see if that resolved the issue?",
        ["run_speed_test"],
    ),
    (
        'Could you please check the app permissions for your default messaging app? Specifically, I need to know whether it has both the "storage" and "SMS" permissions.',
        ["check_app_permissions(app_name=messaging)"],
    ),
    (
        'Please grant the "storage" permission to your messaging app, and then try sending an MMS again.',
        ["grant_app_permission(app_name=messaging, permission=storage)", "can_send_mms"],
    ),
    (
        "It seems both the storage and SMS permissions are missing. Please grant both permissions to your messaging app.",
        [
            "grant_app_permission(app_name=messaging, permission=storage)",
            "grant_app_permission(app_name=messaging, permission=sms)",
        ],
    ),
    (
        "The MMSC URL isn't set, so MMS won't work. Please reset your APN settings to the default, then restart your phone.",
        ["reset_apn_settings", "reboot_device"],
    ),
    (
        "Now please reboot your device to apply the APN changes, and then check if you can send an MMS.",
        ["reboot_device", "can_send_mms"],
    ),
    (
        "Wi-Fi Calling can interfere with MMS. Please turn Wi-Fi Calling OFF on your device and try sending a picture message again.",
        ["Wi-Fi calling off", "can_send_mms"],
    ),
    (
        "Could you please check if Wi-Fi Calling is currently enabled on your device?",
        ["check_wifi_calling_status"],
    ),
    (
        "I've sent a payment request to your phone. Please check your payment requests, and if the information is correct, go ahead and accept the payment.",
        ["check_payment_request", "make_payment"],
    ),
    (
        "The payment has gone through and I have lifted the suspension on your line. Please restart your device to restore service, then let me know what your status bar shows.",
        ["reboot_device", "check_status_bar"],
    ),
    (
        "Your line has an overdue bill of $65.00. Would you like me to send you a payment request?",
        [],
    ),
    (
        "Are you connected to a VPN right now? If so, please disconnect from it and run the speed test again.",
        [
            "check_vpn_status",
            "disconnect_vpn if check_vpn_status",
            "run_speed_test if check_vpn_status",
        ],
    ),
    (
        "Let's first confirm whether your phone has cellular service. What does the status bar at the top of your screen show?",
        ["check_status_bar"],
    ),
    (
        "Please toggle Airplane Mode ON for about 10 seconds, then toggle it OFF, and check your status bar again.",
        ["airplane mode on", "airplane mode off", "check_status_bar"],
    ),
    (
        "I understand you're having trouble with mobile data. Is your data roaming setting turned on?",
        ["check_network_status"],
    ),
    (
        "I understand your frustration. Let's try something else. Please go into your settings and make sure mobile data is enabled.",
        ["mobile data on"],
    ),
    ("Can you confirm if you're able to browse the internet now?", ["run_speed_test"]),
    ("What is your current download speed?", ["run_speed_test"]),
    (
        "Could you please provide the phone number associated with the line that's having the issue?",
        [],
    ),
    ("Please hold on while I check your account details.", []),
    ("I'm going to enable roaming for your line now, at no additional cost.", []),
    (
        "I've enabled international roaming on your line at no extra cost. Please turn Data Roaming ON on your device, then run a speed test.",
        ["data roaming on", "run_speed_test"],
    ),
    (
        "The next step is to reset your APN settings. Could you do that for me?",
        ["reset_apn_settings"],
    ),
    (
        "Please do the following:\n\n1. **Turn OFF Airplane Mode**\n2. **Check your status bar** and tell me what you see\n\nLet me know once done!",
        ["airplane mode off", "check_status_bar"],
    ),
    ("You don't need to do anything on your end; I will restart the line.", []),
    (
        "Your data usage is 15.1 GB out of your 15 GB limit, which means you've exceeded your data limit. You can either change your plan or refuel up to 2 GB of data. Which would you prefer?",
        [],
    ),
    (
        "Would you like to proceed with adding 2.0 GB of data for $4.00? Please confirm (yes/no).",
        [],
    ),
    (
        'If the speed test shows anything other than "Excellent", please also check your network mode preference.',
        ["check_network_mode_preference if not run_speed_test"],
    ),
    ("Could you tell me if there's a VPN icon in your status bar?", ["check_status_bar"]),
    ("Can you check whether your phone is in airplane mode?", ["check_network_status"]),
    ("Your SIM card is locked with a PIN.", []),
    ("Make sure you don't have airplane mode turned on.", []),
    (
        "Once your phone is back on, please tell me if you see any signal bars.",
        ["check_status_bar"],
    ),
    ("Try toggling mobile data off and then back on.", ["mobile data off", "mobile data on"]),
    ("Disable your VPN, please.", ["disconnect_vpn"]),
    (
        "Kindly switch your preferred network type to 4G/5G.",
        ["set_network_mode_preference(mode=4g_5g_preferred)"],
    ),
    (
        "Does the messaging app have storage and SMS permissions?",
        ["check_app_permissions(app_name=messaging)"],
    ),
    ("Can you send me a screenshot of your APN settings?", ["check_apn_settings"]),
    ("Please perform a reboot of your phone.", ["reboot_device"]),
    (
        "Please perform the following action on your phone: reset_apn_settings",
        ["reset_apn_settings"],
    ),
    ("Action: toggle_data_saver_mode", ["toggle_data_saver_mode"]),
    ("Please use the reseat_sim_card tool to reseat your SIM card.", ["reseat_sim_card"]),
    (
        "Please turn off data saver mode (toggle_data_saver_mode) and then run_speed_test.",
        ["data saver off", "run_speed_test"],
    ),
    (
        "Is airplane mode on? If so, please turn it off.",
        ["check_network_status", "airplane mode off"],
    ),
    (
        "Do you have signal now? If not, please restart your phone.",
        ["check_status_bar", "reboot_device if not check_status_bar"],
    ),
    (
        "Are you able to send an MMS? If not, reset your APN settings.",
        ["can_send_mms", "reset_apn_settings if not can_send_mms"],
    ),
]
"""Messages as language models write them."""


@pytest.mark.parametrize(("text", "expected"), [*PHRASINGS, *SUBTLETIES, *MESSAGES])
def test_reads(text: str, expected: list[str]) -> None:
    assert asked(text) == expected


def test_every_tool_is_understood_in_four_ways() -> None:
    toggles = {f"{name} {state}": switch.toggle for name, switch in SWITCHES.items()
               for state in ("on", "off")}  # fmt: skip
    counts: Counter[str] = Counter()
    for text, expected in [*PHRASINGS, *SUBTLETIES, *MESSAGES]:
        if "_" not in text:
            tools = {toggles.get(one, one.partition("(")[0].partition(" ")[0]) for one in expected}
            counts.update(tools)
    assert all(counts[tool.name] >= 4 for tool in TOOLS), counts


@pytest.mark.parametrize("tool", [tool.name for tool in TOOLS if not tool.required])
@pytest.mark.parametrize(
    "form", ["Please do {}", "{}", "{}()", "Please run `{}`.", "Use the {} tool."]
)
def test_a_bare_name_is_called_as_named(tool: str, form: str) -> None:
    assert asked(form.format(tool)) == [tool]


@pytest.mark.parametrize("tool", [tool.name for tool in TOOLS if tool.required])
def test_a_missing_argument_is_asked_for(tool: str) -> None:
    (errand,) = read(f"Please do {tool}", TOOLS).errands
    assert isinstance(errand.what, Query)


@pytest.mark.parametrize("name", SWITCHES)
def test_it_stands_for_what_was_spoken_of_before(name: str) -> None:
    assert asked("Please turn it off.", topic=name) == [f"{name} off"]
    assert read(f"I see that {name} is on.", TOOLS).topic == name


def test_a_pronoun_without_anything_before_means_nothing() -> None:
    assert asked("Please turn it off.") == []


def test_toggling_twice_is_twice() -> None:
    assert asked("toggle_wifi, then toggle_wifi") == ["toggle_wifi", "toggle_wifi"]
    assert asked("Please reboot your phone. Yes, restart it.") == ["reboot_device"]


def test_otherwise_turns_the_condition_around() -> None:
    texts = asked("If airplane mode is on, turn it off; otherwise, restart your phone.")
    assert texts == ["airplane mode off", "reboot_device if not check_network_status"]


def test_what_is_no_errand_is_left_over() -> None:
    reading = read("Hello John. Please restart your phone. Is that okay?", TOOLS)
    assert reading.rest == ("Hello John.", "Is that okay?")


def test_without_tools_there_are_no_errands() -> None:
    assert read("Please restart your phone. Thanks!", ()) == Reading(
        (), ("Please restart your phone.", "Thanks!"), None
    )


def test_of_a_very_long_text_the_start_and_the_end_are_read() -> None:
    text = "Please restart your phone. " + "Blah. " * 5000 + "Please run a speed test."
    assert asked(text) == ["reboot_device", "run_speed_test"]
